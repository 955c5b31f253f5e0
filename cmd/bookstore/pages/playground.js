// The playground: what is typed goes to GET /search, which answers with the hits and the exact query that was sent.
import { ask, begin, el, find, marked, milliseconds, pause, someIsbn, waitIndexed } from "/common.js";

const MODES = [
  ["fuzzy", "Fuzzy", "Finds words with a letter or two wrong: AUTO allows one mistake in short words, two in longer ones.", ["nueromancer", "urzula le guin"]],
  ["match", "Match", "Finds any of the words, exactly as they are spelt. Books with more of them, or with one in the title, come first.", ["dune herbert", "nueromancer"]],
  ["phrase", "Phrase", "Finds the words next to each other, in this order.", ["brave new world", "world new brave"]],
  ["phrase_prefix", "Phrase prefix", "A phrase whose last word may be unfinished.", ["the left hand of da", "do androids dr"]],
  ["prefix", "Prefix", "Finds words that begin with this. Type a single word: it is not split.", ["neuro", "97801"]],
  ["wildcard", "Wildcard", "* stands for any number of characters, ? for exactly one.", ["hyp*on", "d?ne"]],
  ["regexp", "Regular expression", "Matches whole words with a pattern.", ["foundation|dune", "[0-9]{3}"]],
  ["range", "Range", "Finds books between two prices and two dates. You may leave the words out.", ["", "programming"]],
  ["boolean", "Boolean", "+word must be there, -word must not. Any other word adds to the score.", ["+gibson -neuromancer", "+the fire hobbit"]],
  ["query_string", "Query string", "Lucene's own language: AND, OR, fields, quotes, ~ and *.", ["title:dune OR authors.name:gibson", "\"good omens\" AND pratchett"]],
  ["term", "Exact term", "Matches a whole field, letter by letter, capitals included. The text is not split into words.", ["Dune", "dune"]],
  ["as_you_type", "Search as you type", "Words in any order, of which the last may be unfinished.", ["gibson dif", "sn cr"]],
];
const BOUNDS = ["min_price", "max_price", "from", "to"];
const form = find("#form");
let running = null;
let shown = ""; // the query that was built, before anybody edits it

const mode = () => MODES.find(([word]) => word === form.mode.value);

// --- the address

function toAddress() {
  const values = new URLSearchParams();
  for (const name of ["q", "mode", "compare", ...BOUNDS]) if (form[name].value) values.set(name, form[name].value);
  history.replaceState(null, "", `?${values}`);
}

function fromAddress() {
  const values = new URLSearchParams(location.search);
  for (const name of ["q", "mode", "compare", ...BOUNDS]) form[name].value = values.get(name) ?? "";
  if (!form.mode.value) form.mode.value = "fuzzy";
}

// --- results

/** With the cents that JSON leaves out: 18 is 18.00. */
const amount = (price) => (typeof price === "number" ? price.toFixed(2) : price ?? "?");

function hitElement({ id, score, source, highlight }, best) {
  const authors = (highlight?.["authors.name"] ?? []).concat(
    (source.authors ?? []).map((author) => author.name).filter((name) => !(highlight?.["authors.name"] ?? []).some((shown) => shown.replaceAll("<mark>", "").replaceAll("</mark>", "") === name)),
  );
  const isbn = highlight?.isbn?.[0] ?? source.isbn ?? "";
  return el("li", {}, el("article", { tabIndex: 0, className: "hit" },
    el("h3", {}, el("a", { href: `/admin?list=books&edit=${id}` }, ...marked(highlight?.title?.[0] ?? source.title ?? `book ${id}`))),
    el("p", {}, ...authors.flatMap((name, i) => [i ? ", " : "", ...marked(name)])),
    el("p", { className: "facts" }, `${amount(source.price)} · ${source.status ?? "?"} · ${(source.published_at ?? "no date").slice(0, 10)} · `, ...marked(isbn)),
    score === null || score === undefined ? null : el("p", { className: "score" },
      el("progress", { max: best || 1, value: score, "aria-label": "Score" }), ` ${score.toFixed(2)}`)));
}

function column(title, answer) {
  const best = Math.max(...answer.hits.map((hit) => hit.score ?? 0), 0);
  return el("div", {}, title ? el("h3", { className: "column-title" }, title) : null,
    answer.hits.length ? el("ol", { className: "hits" }, answer.hits.map((hit) => hitElement(hit, best)))
      : el("p", { className: "empty" }, "Nothing found. Try the same words in another mode."));
}

const counted = (answer) => `${answer.total} ${answer.total === 1 ? "book" : "books"} in ${answer.took_ms} ms`;

function show(answers, titles) {
  find("#columns").replaceChildren(...answers.map((answer, i) => column(answers.length > 1 ? titles[i] : null, answer)));
  find("#summary").textContent = answers.map((answer, i) => (answers.length > 1 ? `${titles[i]}: ` : "") + counted(answer)).join("; ");
  find("#summary").className = "";
  find("#raw").textContent = JSON.stringify(answers[0], null, 2);
}

function showQuery(request) {
  shown = request.body;
  find("#query").value = request.body;
  find("#path").replaceChildren(el("code", {}, `${request.method} ${request.path}`));
  find("#sent-note").textContent = "";
}

function showFailure(error) {
  find("#columns").replaceChildren();
  find("#summary").textContent = (error.answer?.errors ?? []).map((one) => one.message).join("; ") || error.message;
  find("#summary").className = "failed";
  find("#raw").textContent = JSON.stringify(error.answer, null, 2);
}

// --- asking

function address(word) {
  const values = new URLSearchParams({ q: form.q.value, mode: word });
  if (word === "range") for (const name of BOUNDS) if (form[name].value) values.set(name, form[name].value);
  return `/search?${values}`;
}

async function search() {
  toAddress();
  describe();
  running?.abort();
  if (!form.q.value.trim() && form.mode.value !== "range") {
    find("#columns").replaceChildren();
    find("#summary").textContent = "Type something, or click an example.";
    find("#summary").className = "";
    return;
  }
  running = new AbortController();
  const { signal } = running;
  const words = [form.mode.value, form.compare.value].filter(Boolean);
  try {
    const answers = await Promise.all(words.map((word) => ask("GET", address(word), undefined, signal)));
    showQuery(answers[0].request);
    show(answers, words.map((word) => MODES.find(([other]) => other === word)[1]));
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.answer?.request) showQuery(error.answer.request);
    showFailure(error);
  }
}

async function sendEdited() {
  running?.abort();
  const body = find("#query").value;
  try {
    const answer = await ask("POST", "/search", body);
    show([answer], [""]);
    find("#sent-note").textContent = "Sent as shown.";
  } catch (error) {
    showFailure(error);
    find("#sent-note").textContent = error.message;
  }
}

// --- controls

function describe() {
  const [, , sentence, examples] = mode();
  find("#sentence").textContent = sentence;
  find("#bounds").hidden = form.mode.value !== "range";
  find("#examples").replaceChildren("Try ", ...examples.filter(Boolean).flatMap((text, i) => [i ? " or " : "",
    el("button", { type: "button", className: "outline small", click: () => { form.q.value = text; search(); } }, text)]));
}

let timer;
function soon() {
  clearTimeout(timer);
  timer = setTimeout(search, 120);
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

async function copyCurl() {
  const command = `curl -X POST ${quoted(`${location.origin}/search`)} -H 'Content-Type: application/json' -d ${quoted(find("#query").value)}`;
  try {
    await navigator.clipboard.writeText(command);
    find("#sent-note").textContent = "Copied.";
  } catch {
    find("#sent-note").textContent = command;
  }
}

// --- write something

async function write(event) {
  event.preventDefault();
  const fields = event.target;
  const trace = find("#trace");
  const say = (text) => trace.append(el("li", {}, text));
  const book = { title: fields.title.value, price: fields.price.value, isbn: someIsbn(), status: "published", author_ids: [Number(fields.author.value)] };
  const began = performance.now();
  trace.replaceChildren();
  try {
    const made = await ask("POST", "/books", book);
    const committed = performance.now();
    say(`Committed in Postgres as book ${made.id} after ${milliseconds(began)} ms.`);
    const took = await waitIndexed(made.id, committed);
    if (took === null) return say("Not in the index after 15 s: does a PgSync follow this database?");
    say(`In the index ${took} ms after the commit.`);
    for (;;) {
      if ((await ask("GET", `/search?mode=term&q=${made.isbn}`)).total) break;
      await pause(20);
    }
    say(`Found by searches ${milliseconds(committed)} ms after the commit: the engine refreshes once a second.`);
    form.q.value = made.title;
    form.mode.value = "match";
    search();
  } catch (error) {
    (error.answer?.errors ?? [{ field: "", message: error.message }]).forEach((one) => say(`${one.field} ${one.message}`));
  }
}

async function fillAuthors() {
  const { items } = await ask("GET", "/authors?page_size=100&sort=name");
  find("#write").author.replaceChildren(...items.map((author) => el("option", { value: author.id }, author.name)));
}

async function count() {
  const { postgres, index } = await ask("GET", "/stats");
  find("#verdict").textContent = index.documents === null ? `Postgres has ${postgres.books} books. The search engine does not say how many documents the index ${index.name} has: does a PgSync fill it?`
    : index.documents === postgres.books ? `Postgres and the index ${index.name} have ${postgres.books} books each.`
      : `Postgres has ${postgres.books} books, the index ${index.name} has ${index.documents}.`;
}

function move(by) {
  const hits = [...document.querySelectorAll(".hit")];
  const at = hits.indexOf(document.activeElement.closest?.(".hit"));
  hits[Math.min(Math.max(at + by, 0), hits.length - 1)]?.focus();
}

for (const [word, label] of MODES) {
  form.mode.append(el("option", { value: word }, label));
  form.compare.append(el("option", { value: word }, label));
}
fromAddress();
form.addEventListener("submit", (event) => { event.preventDefault(); search(); });
form.addEventListener("input", soon);
find("#send").addEventListener("click", sendEdited);
find("#reset").addEventListener("click", () => { find("#query").value = shown; });
find("#curl").addEventListener("click", copyCurl);
find("#query").addEventListener("keydown", (event) => { if (event.key === "Enter" && event.ctrlKey) sendEdited(); });
find("#write").addEventListener("submit", write);
find("#columns").addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.matches(".hit")) event.target.querySelector("a").click(); });
begin({ "/": ["go to the search box", () => find("#q").focus()], j: ["next result", () => move(1)], k: ["previous result", () => move(-1)] });
search();
fillAuthors().catch(() => {});
const recount = () => count().catch((error) => { find("#verdict").textContent = error.message; });
recount();
setInterval(recount, 3000);
