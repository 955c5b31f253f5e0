// What a worker can look into: documents beside Postgres, dead letters, indices, the checkpoint, the plan.
import { begin, el, find } from "/page.js";
import { age, count, get, post, Refused, say, takeTokens, wantsToken } from "/live.js";

const values = new URLSearchParams(location.search);
const [namespace, name] = [values.get("namespace") ?? "", values.get("name") ?? ""];
const PAGE = 20; // of results, as in cmd/pgsync/look.c
let known = null; // { indices, actions }
let asked = 0; // a number for each question: only the last one's answer is shown

// --- the address

const chosen = () => new URLSearchParams(location.search);
const view = () => (Object.hasOwn(VIEWS, chosen().get("view")) ? chosen().get("view") : "documents");
const index = () => (known.indices.includes(chosen().get("index")) ? chosen().get("index") : known.indices[0]);

function addressOf(changes) {
  const next = { namespace, name, view: view(), index: chosen().get("index") ?? "", ...changes };
  return `/look?${new URLSearchParams(Object.entries(next).filter(([, value]) => value !== "" && value !== null))}`;
}

function go(changes) {
  history.pushState(null, "", addressOf(changes));
  show();
}

/** A link that is followed without loading the page again. */
const link = (changes, ...words) => el("a", { href: addressOf(changes), click: (event) => { event.preventDefault(); go(changes); } }, ...words);
const ask = async (what, parameters = {}) => (await get(`/api/look/${what}?${new URLSearchParams({ index: index(), ...parameters })}`)).value;

// --- parts

const json = (value) => el("pre", { tabIndex: 0 }, JSON.stringify(value, null, 2));
const cell = (...children) => el("td", {}, ...children);

function table(label, heads, rows, className = "") {
  return el("div", { className: "scrolls", tabIndex: 0, role: "region", "aria-label": label },
    el("table", { className }, el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, rows)));
}

const titled = (title, ...children) => el("section", { "aria-label": title }, el("h2", {}, title), ...children);
const pairs = (list) => el("dl", {}, list.filter(([, value]) => value !== undefined && value !== null && value !== "").flatMap(([title, value]) => [el("dt", {}, title), el("dd", {}, String(value))]));

// --- documents

async function results() {
  const from = Number(chosen().get("from")) || 0;
  const q = chosen().get("q") ?? "";
  const answer = await ask("search", { q, from });
  const rows = answer.hits.map(({ id, fields }) => el("tr", {}, cell(link({ id, q: "", from: "" }, id)), cell(Object.entries(fields).map(([key, value]) => `${key}: ${value}`).join(" · "))));
  const more = el("p", { className: "bar" }, from > 0 ? link({ q, from: Math.max(0, from - PAGE) }, "Previous") : null, answer.total > from + PAGE ? link({ q, from: from + PAGE }, "Next") : null);
  return [`${count(answer.total)} document${answer.total === 1 ? "" : "s"}${q ? ` with “${q}”` : ""} in ${answer.ms ?? "?"} ms. What was written in the last moment may not be found yet.`,
    [rows.length ? table("Documents", ["_id", "Fields"], rows) : el("p", {}, "No document has these words. A search for a* finds words that begin with a."), more]];
}

function verdict({ comparison, index: written, postgres, pipeline, error }) {
  if (error) return `Postgres could not be asked: ${error}`;
  if (!written && !postgres) return "There is no such document, and no such row.";
  if (comparison.equal) return "✓ The index has what Postgres has now.";
  if (!written) return "! The index has no such document, but Postgres has its row: it is a dead letter, or a change is on its way.";
  if (!postgres) return "! Postgres has no such row any more: the deletion is on its way.";
  const n = comparison.differences.length + comparison.more;
  return `! They differ in ${count(n)} place${n === 1 ? "" : "s"}: ${pipeline ? "an ingest pipeline changes documents, or " : ""}a change is on its way, or the document is a dead letter.`;
}

function differences({ comparison }) {
  if (!comparison || comparison.equal || !comparison.differences.some(({ path }) => path)) return null;
  const rows = comparison.differences.map((one) => el("tr", {}, cell(one.path), cell(el("code", {}, one.index ?? "–")), cell(el("code", {}, one.postgres ?? "–"))));
  const more = comparison.more ? el("p", {}, `and ${count(comparison.more)} more`) : null;
  return titled("Differences", table("Table of differences", ["Where", "In the index", "From Postgres now"], rows, "differences"), more);
}

async function one(id) {
  const answer = await ask("document", { id });
  const { version, generation, position } = answer;
  const again = el("button", { type: "button", className: "small", click: show }, "Compare with Postgres now");
  const facts = pairs([["_id", answer.id], ["Index", generation], ["Version: every commit up to", version], ["Postgres read at", position]]);
  const sides = el("div", { className: "halves" }, titled("In the index", answer.index ? json(answer.index) : el("p", {}, "nothing")),
    titled("From Postgres now", answer.postgres ? json(answer.postgres) : el("p", {}, answer.error ? "not known" : "nothing")));
  return [verdict(answer), [facts, el("p", {}, again, " ", link({ id: "" }, "Search")), differences(answer), sides]];
}

const documents = () => (chosen().get("id") ? one(chosen().get("id")) : results());

// --- dead letters

async function act(action, id, button) {
  button.disabled = true;
  try {
    const answer = await post(`/api/look/dead-letters/${action}?${new URLSearchParams({ index: index(), id })}`);
    say("#note", `${id}: ${answer.message}.`);
    button.closest("tr").classList.add("stale");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    button.disabled = false;
    say("#note", `${id}: ${error.message}`);
  }
}

const button = (action, words, id) => el("button", { type: "button", className: "small secondary", "aria-label": `${words} ${id}`, click: (event) => act(action, id, event.target) }, words);

async function deadLetters() {
  const { deadLetters: list, more } = await ask("dead-letters");
  const rows = list.map((letter) => el("tr", {}, cell(link({ view: "documents", id: letter.id }, letter.id)), cell(letter.row ?? ""), cell(letter.type ?? ""), cell(letter.reason ?? ""), cell(String(letter.attempts)), cell(letter.time ?? ""),
    known.actions ? cell(el("div", { className: "buttons" }, button("retry", "Retry", letter.id), button("discard", "Discard", letter.id))) : null));
  const how = known.actions ? "" : " To retry or discard here, start pgsync with --console-actions; or use pgsync dead-letters.";
  if (!rows.length) return ["No document is rejected.", []];
  return [`${more ? `The first ${list.length} documents that were` : `${count(list.length)} document${list.length === 1 ? " was" : "s were"}`} rejected or could not be built.${how}`,
    table("Dead letters", ["_id", "Row", "Type", "Reason", "Attempts", "Time"].concat(known.actions ? ["What to do"] : []), rows, "dead")];
}

// --- index, checkpoint, plan

async function indexFacts() {
  const [[generation, found]] = Object.entries(await ask("index"));
  return [`${index()} is ${generation}.`, [titled("Aliases", json(found.aliases ?? {})), titled("Mapping", json(found.mappings ?? {})), titled("Settings", json(found.settings ?? {}))]];
}

function ranges(entry) {
  const total = (entry.ranges ?? []).reduce((sum, { endBlock = 0 }) => sum + endBlock, 0);
  const done = (entry.ranges ?? []).reduce((sum, { nextBlock = 0 }) => sum + nextBlock, 0);
  const finished = entry.complete || !total;
  return el("progress", { className: "ranges", max: finished ? 1 : total, value: finished ? 1 : done, "aria-label": `Copied of ${entry.name}` });
}

const since = (micros) => (micros ? `${age(new Date(micros / 1000).toISOString())} ago` : "–");

const moment = (micros) => (micros ? `${new Date(micros / 1000).toLocaleString("sv")} (${since(micros)})` : "not known: an earlier version saved it");

async function checkpoint() {
  const { store, lost, checkpoint: found } = await ask("checkpoint");
  const rows = (found.indices ?? []).map((entry) => el("tr", {}, cell(entry.name), cell(String(entry.generation ?? "–")), cell(String(entry.live ?? "–")), cell(ranges(entry), entry.complete ? " complete" : ` ${count((entry.ranges ?? []).length)} ranges`), cell(since(entry.startMicros)), cell(since(entry.completionMicros))));
  return [lost ? "! The checkpoint was in Redis, which has lost it: the index is rebuilt." : `The checkpoint is in ${store}.`,
    [pairs([["Phase", found.phase], ["Slot", found.slot], ["Slot begins at", found.slotLSN], ["Durable up to", found.confirmedLSN], ["Saved", moment(found.savedMicros)], ["Owner", found.owner]]),
      table("Generations in the checkpoint", ["Index", "Generation", "Live", "Copied", "Began", "Completed"], rows), titled("As it is stored", json(found))]];
}

/** Lines without the indentation that they have in common, and without empty lines at the end. */
function dedented(text) {
  const lines = text.trimEnd().split("\n");
  const common = Math.min(...lines.filter((line) => line).map((line) => line.search(/\S|$/)));
  return lines.map((line) => line.slice(common)).join("\n");
}

async function plan() {
  say("#note", "Postgres is planning …");
  const { sections, findings } = await ask("plan");
  const errors = findings.filter(({ error }) => error).length;
  say("#note", "");
  const statements = findings.filter(({ statement }) => statement).map(({ statement }) => `${statement};`);
  const list = findings.map(({ error, path, message }) => el("li", { "data-verdict": error ? "Broken" : "Late" }, el("span", { className: "sign", "aria-hidden": "true" }, error ? "✕" : "!"), ` ${path}${path ? ": " : ""}${message}`));
  return [errors ? `${count(errors)} error${errors === 1 ? "" : "s"}: the PgSync cannot run like this.` : "What pgsync plan prints now: the tree, SQL with the server's plans, the mapping, statements to run.",
    [list.length ? el("ul", { className: "events" }, list) : null, statements.length ? titled("Statements that are advised", el("pre", { tabIndex: 0, className: "statements" }, statements.join("\n"))) : null,
    ...sections.filter(({ text }) => text.trim()).map(({ kind, title, text }) => el("section", {}, el("h2", {}, title), el("pre", { tabIndex: 0, className: "plan", "data-kind": kind }, dedented(text))))]];
}

const VIEWS = {
  documents: ["Documents", documents],
  "dead-letters": ["Dead letters", deadLetters],
  index: ["Index", indexFacts],
  checkpoint: ["Checkpoint", checkpoint],
  plan: ["Plan", plan],
};

// --- the page

function drawChoice() {
  const about = view();
  find("#views").replaceChildren(...Object.entries(VIEWS).map(([id, [title]]) => {
    const made = link({ view: id }, title);
    if (id === about) made.setAttribute("aria-current", "page");
    return el("li", {}, made);
  }));
  find("#choice").hidden = about === "checkpoint" || about === "plan";
  find("#index").replaceChildren(...known.indices.map((one) => el("option", { value: one, selected: one === index() }, one)));
  for (const id of ["search", "by-id"]) find(`#${id}`).hidden = about !== "documents";
  find("#q").value = chosen().get("q") ?? "";
  find("#id").value = chosen().get("id") ?? "";
}

async function show() {
  const mine = ++asked;
  find("#content").classList.add("stale");
  say("#lost", "");
  try {
    known ??= (await get("/api/look")).value;
    find("#token").hidden = true;
    drawChoice();
    say("#note", "");
    const [sentence, parts] = await VIEWS[view()][1]();
    if (mine !== asked) return;
    say("#verdict", sentence);
    find("#content").replaceChildren(...[parts].flat().filter(Boolean));
    find("#content").hidden = false;
    find("#content").classList.remove("stale");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (mine !== asked || wantsToken(error)) return;
    find("#content").hidden = true;
    say("#verdict", "This could not be read.");
    say("#lost", error.message);
  }
}

find("#title").textContent = `${namespace}/${name}`;
document.title = `${name}: look into`;
find("#back").href = `/pgsync?${new URLSearchParams({ namespace, name })}`;
find("#choice").addEventListener("submit", (event) => {
  event.preventDefault();
  go({ index: find("#index").value, q: find("#id").value ? "" : find("#q").value, id: find("#id").value });
});
find("#index").addEventListener("change", () => go({ index: find("#index").value }));
addEventListener("popstate", show);
begin({ "/": ["go to the search box", () => find("#q").focus()], o: ["go to the overview", () => location.assign("/")] });
takeTokens(show);
show();
