// One PgSync: what it is doing, what is wrong and what to do about it, and what happened.
import { begin, el, find } from "/page.js";
import { graph } from "/graph.js";
import { age, bytes, copying, count, get, repeat, sample, say, seconds, takeTokens, VERDICTS, wantsToken } from "/live.js";

const values = new URLSearchParams(location.search);
const [namespace, name] = [values.get("namespace") ?? "", values.get("name") ?? ""];
const path = `/api/pgsyncs/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
const WELL = { True: ["Ready", "SourceReachable", "SinkReachable", "SchemaAccepted", "BootstrapComplete", "Streaming", "SlotHealthy"], False: ["Stalled", "Degraded", "Suspended"] };
const BOUNDS = { one_to_one: "one", one_to_many: "many" };
const copied = { item: null, samples: [] }; // for the rate of a bootstrap
let etag;

// --- the parts of the page

function fact(number, words) {
  return el("div", {}, el("span", { className: "number" }, number), ` ${words}`);
}

function drawCounts({ summary }) {
  const parts = [fact(seconds(summary.lagSeconds), "lag"), fact(count(summary.documents), "documents"), fact(count(summary.deadLetters), "dead letters"), fact(bytes(summary.retainedWALBytes), "of WAL kept")];
  if (!summary.bootstrapComplete) {
    const { rowsDone = 0, rowsTotal = 0 } = summary;
    parts.push(el("div", { id: "copying" }, copying(copied), ` · ${count(rowsDone)} of about ${count(rowsTotal)} rows copied`));
  }
  find("#counts").replaceChildren(...parts);
}

const isWell = ({ type, status }) => (WELL[status] ?? []).includes(type);

function conditionRow(condition, remedies) {
  const { type, status, reason, message, lastTransitionTime } = condition;
  const remedy = !isWell(condition) && Object.hasOwn(remedies, reason) ? remedies[reason] : null;
  return el("tr", { "data-verdict": isWell(condition) ? "Flowing" : status === "Unknown" ? "Unknown" : "Broken" },
    el("td", {}, type), el("td", {}, el("span", { className: "sign", "aria-hidden": "true" }, isWell(condition) ? "✓" : status === "Unknown" ? "?" : "!"), ` ${status}`),
    el("td", {}, reason), el("td", { className: "since", title: lastTransitionTime }, age(lastTransitionTime)),
    el("td", {}, message, remedy ? el("p", { className: "remedy" }, el("strong", {}, `${reason}: `), remedy) : null));
}

function drawConditions({ status, remedies }) {
  const order = (condition) => (isWell(condition) ? 1 : 0);
  const all = [...(status.conditions ?? [])].sort((a, b) => order(a) - order(b));
  find("#conditions").replaceChildren(...all.map((condition) => conditionRow(condition, remedies)));
}

const pair = (title, value) => (value === undefined || value === null || value === "" ? [] : [el("dt", {}, title), el("dd", {}, String(value))]);

function drawSource({ status }) {
  const stream = status.stream ?? {};
  const parts = [pair("Slot", stream.slotName), pair("State", stream.slotState), pair("Publication", stream.publicationName), pair("Confirmed up to", stream.confirmedFlushLSN),
    pair("WAL kept", stream.retainedWALBytes === undefined ? null : bytes(stream.retainedWALBytes)), pair("WAL not confirmed yet", stream.lagBytes === undefined ? null : bytes(stream.lagBytes)),
    pair("Worker", status.worker?.identity), pair("Restarts", status.worker?.restartCount), pair("Last exit", status.worker?.lastExit?.message)].flat();
  find("#source").replaceChildren(...(parts.length ? parts : pair("Slot", "none yet")));
}

function drawIndices({ status }) {
  const rows = (status.indices ?? []).map((index) => el("tr", {}, el("td", {}, index.name ?? ""), el("td", {}, index.physicalName ?? "–"), el("td", { className: "number" }, count(index.documentCount)),
    el("td", { className: "number" }, count(index.deadLetters)), el("td", {}, index.health ?? "–")));
  find("#indices").replaceChildren(...(rows.length ? rows : [el("tr", {}, el("td", { colSpan: 5 }, "No index yet."))]));
}

/** What SchemaAccepted says about places of the schema, "[0].nodes.children[1]": a missing index of a join, for example.
 * Each remark begins with its place. */
function remarksOf({ conditions = [] }) {
  const { message = "" } = conditions.find(({ type }) => type === "SchemaAccepted") ?? {};
  const parts = message.split(/(?:^|; )[^\s[]*(\[\d+\]\.nodes(?:\.children\[\d+\])*)[^\s:]*: /);
  const found = new Map();
  for (let i = 1; i < parts.length; i += 2) found.set(parts[i], (found.get(parts[i]) ?? []).concat(parts[i + 1]));
  return found;
}

/** A remark; its statement is marked, to be copied. */
function remarkLine(text) {
  const [, words, statement, rest] = /^(.*?)(?:((?:CREATE|ALTER) [^;]*)(.*))?$/s.exec(text);
  return el("p", { className: "remark" }, el("span", { className: "sign", "aria-hidden": "true" }, "!"), ` ${words}`, statement ? el("code", {}, statement) : null, rest);
}

/** A node of a schema, whatever it looks like: it may not have been checked yet. */
function branch(node, at, remarks) {
  if (typeof node !== "object" || node === null) return el("li", {}, JSON.stringify(node));
  const relation = node.relationship ?? {};
  const how = [BOUNDS[relation.type] ?? relation.type, relation.variant, relation.through_tables?.length ? `through ${[].concat(relation.through_tables).join(", ")}` : null].filter(Boolean).join(", ");
  const columns = Array.isArray(node.columns) ? `: ${node.columns.map((column) => (typeof column === "string" ? column : JSON.stringify(column))).join(", ")}` : "";
  const children = Array.isArray(node.children) && node.children.length ? el("ul", {}, node.children.map((child, i) => branch(child, `${at}.children[${i}]`, remarks))) : null;
  return el("li", {}, el("strong", {}, String(node.table ?? "?")), node.label && node.label !== node.table ? ` as ${node.label}` : "", how ? ` (${how})` : "", columns, (remarks.get(at) ?? []).map(remarkLine), children);
}

let drawn; // of the tree: drawn again, it would lose its position and its tooltips

function drawTree({ schema, status }) {
  const remarks = remarksOf(status);
  const shown = JSON.stringify([schema, ...remarks]);
  let roots;
  if (drawn === shown) return;
  drawn = shown;
  try {
    roots = [].concat(JSON.parse(schema ?? "null") ?? []);
  } catch {
    roots = [];
  }
  const images = roots.map((root, i) => graph(root?.nodes, `[${i}].nodes`, `Tables of index ${root?.index ?? root?.database ?? "?"}`, remarks));
  const image = el("div", { className: "scrolls", tabIndex: 0, role: "region", "aria-label": "Graph of tables" }, images);
  const trees = roots.map((root, i) => el("li", {}, `index ${root?.index ?? root?.database ?? "?"}`, el("ul", {}, branch(root?.nodes, `[${i}].nodes`, remarks))));
  find("#tree").replaceChildren(...(trees.length ? [image, el("ul", {}, trees)] : [el("p", {}, schema ? "The schema is not JSON." : "The schema is in a ConfigMap, or too large to be shown.")]));
}

/** The events, and when each condition got the status that it has. */
function moments({ events, status }) {
  const flips = (status.conditions ?? []).map(({ type, status: now, reason, lastTransitionTime }) => ({ time: lastTransitionTime, text: `${type} became ${now}: ${reason}` }));
  const all = events.map(({ time, warning, reason, note }) => ({ time, warning, text: `${reason}: ${note}` })).concat(flips);
  return all.sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
}

function drawEvents(answer) {
  find("#events").replaceChildren(...moments(answer).map(({ time, warning, text }) => el("li", { "data-verdict": warning ? "Late" : "Flowing" },
    el("time", { dateTime: time }, new Date(time).toLocaleString("sv")), warning ? el("span", { className: "sign" }, "!") : null, ` ${text}`)));
}

/** A word for a shell. Names of Kubernetes need no quotes, but an address can have anything. */
const quoted = (word) => (/^[\w.-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

function drawLook({ looks }) {
  find("#look").hidden = !looks;
  find("#look a").href = `/look?${new URLSearchParams({ namespace, name })}`;
}

function drawCommands({ ofWorker }) {
  const who = `${quoted(name)} --namespace ${quoted(namespace)}`;
  const commands = ofWorker ? ["pgsync plan -f FILE", "pgsync dead-letters list -f FILE"] : [`kubectl pgsync status ${who}`, `kubectl describe pgsync ${who}`, `kubectl get pgsync ${who} --output yaml`];
  say("#commands", commands.join("\n"));
}

// --- the answers

async function ask() {
  const found = await get(path, etag);
  find("#token").hidden = true;
  find("#content").classList.remove("stale");
  say("#lost", "");
  if (found) copied.item = found.value.summary;
  if (copied.item) sample(copied, Date.now());
  if (!found) return;
  ({ etag } = found);
  const { summary } = found.value;
  const [sign, words] = VERDICTS[summary.verdict];
  say("#verdict", `${sign} ${words}: ${summary.sentence}`);
  say("#found", summary.found ?? "");
  say("#next", summary.next ? `What to do: ${summary.next}` : "");
  for (const draw of [drawCounts, drawConditions, drawSource, drawIndices, drawTree, drawEvents, drawCommands, drawLook]) draw(found.value);
  find("#content").hidden = false;
}

function failed(error, ms) {
  const wants = wantsToken(error);
  find("#content").classList.add("stale");
  if (wants || error.status === 404) {
    find("#content").hidden = true;
    etag = undefined;
  }
  if (error.status === 404) {
    say("#verdict", "There is no such PgSync: it has been deleted, or another operator leads.");
    say("#lost", "");
  } else if (!wants) {
    say("#lost", `${error.message} What is shown is ${seconds(ms / 1000)} old; the page goes on asking.`);
  }
}

document.title = `${name}: pgsync`;
find("#title").textContent = `${namespace}/${name}`;
begin({ o: ["go to the overview", () => location.assign("/")] });
const turn = repeat(ask, failed);
takeTokens(turn);
