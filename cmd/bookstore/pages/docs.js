// The API's page: one form for each operation of /openapi.json.
import { begin, el, find, milliseconds } from "/common.js";

const resolve = (whole, value) => (value?.$ref ? value.$ref.slice(2).split("/").reduce((at, key) => at[key], whole) : value);

/** A body to begin with: the schema's example. */
function example(whole, operation) {
  const schema = resolve(whole, operation.requestBody?.content["application/json"].schema);
  return schema?.examples ? JSON.stringify(schema.examples[0], null, 2) : "{}";
}

function field(parameter) {
  const { name, schema, required } = parameter;
  const value = parameter.example ?? "";
  const input = schema.enum
    ? el("select", { name }, el("option", { value: "" }, ""), schema.enum.map((word) => el("option", { value: word }, word)))
    : el("input", { name, value, required: Boolean(required), autocomplete: "off" });
  return el("label", {}, `${name} `, el("small", {}, parameter.description ?? (parameter.in === "path" ? "a positive number" : "")), input);
}

function place(path, parameters, form) {
  const query = new URLSearchParams();
  for (const parameter of parameters) {
    const { value } = form[parameter.name];
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value) query.set(parameter.name, value);
  }
  return path + (query.size ? `?${query}` : "");
}

async function send(event, { method, path, parameters, hasBody }, output) {
  event.preventDefault();
  const form = event.target;
  const options = { method };
  if (hasBody) Object.assign(options, { body: form.body.value, headers: { "Content-Type": "application/json" } });
  const since = performance.now();
  output.hidden = false;
  try {
    const response = await fetch(place(path, parameters, form), options);
    const text = await response.text();
    const took = milliseconds(since);
    const position = response.headers.get("Commit-Position");
    output.textContent = `${response.status} after ${took} ms\n${position ? `Commit-Position: ${position}\n` : ""}\n${text && JSON.stringify(JSON.parse(text), null, 2)}`;
  } catch (error) {
    output.textContent = `No answer that can be read: ${error.message}`;
  }
}

function operation(whole, path, method, made, shared) {
  const parameters = [...shared, ...(made.parameters ?? [])].map((one) => resolve(whole, one));
  const hasBody = Boolean(made.requestBody);
  const output = el("pre", { hidden: true, tabIndex: 0, role: "status", "aria-label": "The answer" });
  const answers = Object.entries(made.responses).map(([status, answer]) => el("li", {}, `${status}: ${resolve(whole, answer).description}`));
  return el("details", { id: made.operationId, className: "operation" },
    el("summary", {}, el("code", {}, method.toUpperCase()), " ", el("code", {}, path), ` ${made.summary}`),
    el("form", { submit: (event) => send(event, { method: method.toUpperCase(), path, parameters, hasBody }, output) },
      parameters.map(field),
      hasBody ? el("label", { className: "whole" }, "Body ", el("textarea", { name: "body", rows: 7, spellcheck: false, className: "code" }, example(whole, made))) : null,
      el("button", { className: "small" }, "Send")),
    output,
    el("details", {}, el("summary", {}, "All answers"), el("ul", {}, answers)));
}

async function fill() {
  const whole = await (await fetch("/openapi.json")).json();
  const all = Object.entries(whole.paths).flatMap(([path, item]) => Object.entries(item)
    .filter(([method]) => method !== "parameters")
    .map(([method, made]) => [made.tags[0], operation(whole, path, method, made, item.parameters ?? [])]));
  find("#operations").replaceChildren(...whole.tags.map(({ name }) => el("section", { "aria-label": name },
    el("h2", {}, name), all.filter(([tag]) => tag === name).map(([, made]) => made))));
  if (location.hash) document.getElementById(location.hash.slice(1))?.setAttribute("open", "");
}

begin({});
fill().catch((error) => { find("#operations").textContent = error.message; });
