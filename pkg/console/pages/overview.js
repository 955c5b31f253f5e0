// The overview: every PgSync in a table that changes in place.
import { begin, el, find } from "/page.js";
import { age, bytes, copying, count, get, isCopying, Refused, repeat, sample, say, seconds, spark, takeTokens, VERDICTS, wantsToken } from "/live.js";

const PAGE_SIZE = 100;
const STEP_MS = 5000; // of the charts
const STEPS = 180; // 15 minutes
const ORDER = Object.keys(VERDICTS);

const all = new Map(); // "namespace/name" -> { item, history, isPast, samples, row, drawn }; isPast: the server was asked for its history
const view = { namespace: "", state: "", q: "", sort: "state", page: 1 };
let cursor = null;
let leading = true;

// --- what is measured

function addressOf({ namespace, name }) {
  return `/pgsync?${new URLSearchParams({ namespace, name })}`;
}

function keyOf(item) {
  return `${item.namespace}/${item.name}`;
}

function step(entry) {
  const { history } = entry;
  history.lag.push(entry.item.lagSeconds ?? null);
  history.rate.push(isCopying(entry) ? entry.rows : entry.wal);
  history.kept.push(entry.item.retainedWALBytes ?? null);
  for (const values of Object.values(history)) if (values.length > STEPS) values.shift();
  entry.drawn = null;
}

/** Asks for the last 15 minutes of what is shown, once: from then on, step() goes on with them. */
async function askPast() {
  const missing = shownRows().filter(({ isPast }) => !isPast);
  for (const entry of missing) entry.isPast = true;
  await Promise.all(missing.map(async (entry) => {
    const { namespace, name } = entry.item;
    try {
      const { value } = await get(`/api/pgsyncs/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}/history`);
      entry.history = { lag: value.lagSeconds, rate: value.rate, kept: value.retainedWALBytes };
      entry.drawn = null;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      entry.isPast = error.status === 404; // it has gone; otherwise, the next turn asks again
    }
  }));
  if (missing.length) draw();
}

// --- the address

function toAddress(push) {
  const values = new URLSearchParams(Object.entries(view).filter(([, value]) => value && value !== 1).map(([key, value]) => [key, String(value)]));
  history[push ? "pushState" : "replaceState"](null, "", values.size ? `?${values}` : location.pathname);
}

function fromAddress() {
  const values = new URLSearchParams(location.search);
  view.namespace = values.get("namespace") ?? "";
  view.state = ORDER.includes(values.get("state")) ? values.get("state") : "";
  view.q = values.get("q") ?? "";
  view.sort = COLUMNS.some(({ id }) => id === (values.get("sort") ?? "").replace("-", "")) ? values.get("sort") : "state";
  view.page = Math.max(1, Number(values.get("page")) || 1);
  find("#state").value = view.state;
  find("#q").value = view.q;
}

// --- the table

function stateCell({ item }) {
  const [sign, words] = VERDICTS[item.verdict];
  const said = item.found ?? item.sentence;
  const why = item.verdict === "Flowing" ? null : el("small", { title: item.next ? `${said}. What to do: ${item.next}` : said }, said);
  return el("td", { className: "state", "data-verdict": item.verdict }, el("span", { className: "sign", "aria-hidden": "true" }, sign), ` ${words}`, why);
}

function nameCell({ item }) {
  return el("td", { className: "name" }, el("a", { href: addressOf(item) }, item.name), el("small", {}, item.namespace));
}

function rateCell(entry) {
  if (isCopying(entry)) return el("td", { className: "number" }, copying(entry));
  return el("td", { className: "number" }, entry.wal === null ? "–" : `${bytes(entry.wal)}/s`, spark(entry.history.rate, "WAL a second in the last 15 minutes"));
}

function lagCell({ item, history: { lag } }) {
  return el("td", { className: "number" }, seconds(item.lagSeconds), spark(lag, "Lag in the last 15 minutes"));
}

function keptCell({ item, history: { kept } }) {
  return el("td", { className: "number" }, bytes(item.retainedWALBytes), spark(kept, "WAL kept in the last 15 minutes"));
}

const numberCell = (text) => el("td", { className: "number" }, text);
const byNumber = (of) => (a, b) => (of(a) ?? -1) - (of(b) ?? -1);

const COLUMNS = [
  { id: "name", title: "Name", cell: nameCell, compare: (a, b) => a.item.name.localeCompare(b.item.name) },
  { id: "state", title: "State", cell: stateCell, compare: (a, b) => ORDER.indexOf(a.item.verdict) - ORDER.indexOf(b.item.verdict) },
  { id: "phase", title: "Phase", cell: ({ item }) => el("td", {}, item.phase ?? "–"), compare: (a, b) => (a.item.phase ?? "").localeCompare(b.item.phase ?? "") },
  { id: "lag", title: "Lag", number: true, cell: lagCell, compare: byNumber(({ item }) => item.lagSeconds) },
  { id: "rate", title: "Rate", number: true, cell: rateCell, compare: byNumber(({ wal }) => wal) },
  { id: "documents", title: "Documents", number: true, cell: ({ item }) => numberCell(count(item.documents)), compare: byNumber(({ item }) => item.documents) },
  { id: "wal", title: "WAL kept", number: true, cell: keptCell, compare: byNumber(({ item }) => item.retainedWALBytes) },
  { id: "dead", title: "Dead letters", number: true, cell: ({ item }) => numberCell(count(item.deadLetters)), compare: byNumber(({ item }) => item.deadLetters) },
  { id: "age", title: "Age", number: true, cell: ({ item }) => numberCell(age(item.created)), compare: byNumber(({ item }) => -Date.parse(item.created)) },
];

function headCell({ id, title, number }) {
  const sorted = view.sort.replace("-", "") === id;
  const down = sorted && view.sort[0] === "-";
  const cell = el("th", { scope: "col", className: number ? "number" : "" }, el("button", { type: "button", className: "sorter", click: () => change({ sort: sorted && !down ? `-${id}` : id, page: 1 }, true) }, title, sorted ? (down ? " ↓" : " ↑") : ""));
  if (sorted) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
  return cell;
}

function isShown({ item }) {
  const words = view.q.toLowerCase();
  return (!view.namespace || item.namespace === view.namespace) && (!view.state || item.verdict === view.state)
    && (!words || [item.name, item.namespace, item.sentence, item.found ?? "", ...item.indices].some((text) => text.toLowerCase().includes(words)));
}

function shown() {
  const { compare } = COLUMNS.find(({ id }) => id === view.sort.replace("-", ""));
  const sign = view.sort[0] === "-" ? -1 : 1;
  return [...all.values()].filter(isShown).sort((a, b) => sign * compare(a, b) || keyOf(a.item).localeCompare(keyOf(b.item)));
}

function open(event) {
  if (event.key === "Enter" && event.target === event.currentTarget) event.target.querySelector("a").click();
}

/** Rows are made once, and their cells only when what they show has changed. */
function rowOf(entry) {
  entry.row ??= el("tr", { tabIndex: -1, "data-key": keyOf(entry.item), keydown: open });
  if (entry.drawn !== entry.item) {
    entry.row.replaceChildren(...COLUMNS.map(({ cell }) => cell(entry)));
    entry.drawn = entry.item;
  }
  return entry.row;
}

function sentence() {
  const counts = ORDER.map((verdict) => [verdict, [...all.values()].filter(({ item }) => item.verdict === verdict).length]);
  const ready = counts.find(([verdict]) => verdict === "Flowing")[1];
  const rest = counts.filter(([verdict, n]) => n && verdict !== "Flowing").map(([verdict, n]) => `${count(n)} ${VERDICTS[verdict][n === 1 ? 2 : 3]}`);
  if (!all.size) return leading ? "There is no PgSync yet. Make one: kubectl apply -f config/samples/bookstore.yaml" : "This operator stands by: another one leads, and its console shows the PgSyncs.";
  return `${count(ready)} of ${count(all.size)} PgSync${all.size === 1 ? "" : "s"} ${VERDICTS.Flowing[ready === 1 ? 2 : 3]}${rest.length ? `; ${rest.join(", ")}` : ""}.`;
}

/** Changes an element only if that changes what it shows: screen readers read what is written again. */
function sameChildren(parent, children) {
  return parent.children.length === children.length && children.every((child, i) => parent.children[i] === child);
}

/** Those of this page of the table. */
const shownRows = () => shown().slice((view.page - 1) * PAGE_SIZE, view.page * PAGE_SIZE);

function draw() {
  const found = shown();
  const pages = Math.max(1, Math.ceil(found.length / PAGE_SIZE));
  view.page = Math.min(view.page, pages);
  const rows = shownRows().map(rowOf);
  const nothing = el("tr", {}, el("td", { colSpan: COLUMNS.length }, all.size ? "No PgSync is like that." : "–"));
  if (!sameChildren(find("#body"), rows) || !rows.length) find("#body").replaceChildren(...(rows.length ? rows : [nothing]));
  say("#verdict", sentence());
  say("#page", `Page ${view.page} of ${pages}, ${count(found.length)} of ${count(all.size)} PgSyncs`);
  find("#previous").disabled = view.page <= 1;
  find("#next").disabled = view.page >= pages;
  find("#content").hidden = false;
}

function drawChoices() {
  const namespaces = [...new Set([...all.values()].map(({ item }) => item.namespace).concat(view.namespace || []))].sort();
  const options = ["", ...namespaces].map((name) => el("option", { value: name, selected: name === view.namespace }, name || "all"));
  if (find("#namespace").options.length !== options.length || namespaces.some((name, i) => find("#namespace").options[i + 1].value !== name))
    find("#namespace").replaceChildren(...options);
  find("#namespace").value = view.namespace;
}

function change(values, push) {
  Object.assign(view, values);
  toAddress(push);
  find("#head").replaceChildren(...COLUMNS.map(headCell));
  draw();
}

// --- the answers

function take(answer) {
  const now = Date.now();
  const seen = new Set();
  for (const item of answer.pgsyncs) {
    const key = keyOf(item);
    const entry = all.get(key) ?? { history: { lag: [], rate: [], kept: [] }, samples: [] };
    entry.item = item;
    all.set(key, entry);
    seen.add(key);
  }
  if (answer.full) for (const key of [...all.keys()]) if (!seen.has(key)) all.delete(key);
  for (const entry of all.values()) {
    const before = [entry.rows, entry.wal];
    sample(entry, now);
    if (before[0] !== entry.rows || before[1] !== entry.wal) entry.drawn = null;
  }
  ({ cursor, leading } = answer);
}

async function ask() {
  const { value } = await get(`/api/pgsyncs${cursor ? `?since=${encodeURIComponent(cursor)}` : ""}`);
  take(value);
  find("#token").hidden = true;
  find("#content").classList.remove("stale");
  say("#lost", "");
  drawChoices();
  draw();
  await askPast();
}

function failed(error, ms) {
  const wants = wantsToken(error);
  find("#content").classList.add("stale");
  if (wants) {
    find("#content").hidden = true;
    all.clear();
    cursor = null;
  } else {
    say("#lost", `${error.message} What is shown is ${seconds(ms / 1000)} old; the page goes on asking.`);
    if (!all.size) say("#verdict", "Nothing is known yet.");
  }
}

// --- keys

function move(by) {
  const rows = [...find("#body").children];
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(rows.length - 1, Math.max(0, at + by))]?.focus();
}

let timer;
for (const [verdict, [, words]] of Object.entries(VERDICTS)) find("#state").append(el("option", { value: verdict }, words));
find("#q").addEventListener("input", (event) => {
  clearTimeout(timer);
  timer = setTimeout(() => change({ q: event.target.value, page: 1 }), 150);
});
find("#namespace").addEventListener("change", (event) => change({ namespace: event.target.value, page: 1 }, true));
find("#state").addEventListener("change", (event) => change({ state: event.target.value, page: 1 }, true));
find("#previous").addEventListener("click", () => change({ page: view.page - 1 }, true));
find("#next").addEventListener("click", () => change({ page: view.page + 1 }, true));
addEventListener("popstate", () => { fromAddress(); find("#head").replaceChildren(...COLUMNS.map(headCell)); drawChoices(); draw(); });
begin({ "/": ["go to the search box", () => find("#q").focus()], j: ["next PgSync, which Enter opens", () => move(1)], k: ["previous PgSync", () => move(-1)] });
fromAddress();
find("#head").replaceChildren(...COLUMNS.map(headCell));
const turn = repeat(ask, failed);
takeTokens(turn);
// step() pauses while the page is hidden: the server knows what it has missed.
document.addEventListener("visibilitychange", () => { if (document.hidden) for (const entry of all.values()) entry.isPast = false; });
setInterval(() => {
  if (document.hidden) return;
  for (const entry of all.values()) step(entry);
  if (all.size) draw();
}, STEP_MS);
