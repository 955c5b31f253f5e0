// The admin pages: lists and forms over the API. What is written goes to Postgres; the page then watches the index.
import { ask, begin, el, find, milliseconds, waitIndexed } from "/common.js";

const LISTS = {
  books: { path: "/books", one: "book", columns: [["id", "Id"], ["title", "Title"], ["isbn", "ISBN"], ["price", "Price"], ["status", "Status"], ["published_at", "Published"]], others: ["Authors", "Index"] },
  authors: { path: "/authors", one: "author", columns: [["id", "Id"], ["name", "Name"]], others: ["Bio", "Books"] },
};
const STATES = {
  same: ["●", "the same in the index"], different: ["◐", "older in the index"], missing: ["○", "not in the index yet"],
  to_delete: ["◑", "still in the index"], absent: ["–", "neither in Postgres nor in the index"], unknown: ["?", "the search engine does not answer"],
};
const state = { list: "books", q: "", sort: "id", page: 1, page_size: 20 };
let allAuthors = [];
let drawn = 0;

// --- the address

function toAddress(push) {
  const values = new URLSearchParams(Object.entries(state).map(([key, value]) => [key, String(value)]));
  history[push ? "pushState" : "replaceState"](null, "", `?${values}`);
}

function fromAddress() {
  const values = new URLSearchParams(location.search);
  state.list = values.get("list") === "authors" ? "authors" : "books";
  state.q = values.get("q") ?? "";
  state.sort = values.get("sort") ?? "id";
  state.page = Number(values.get("page")) || 1;
  state.page_size = Number(values.get("page_size")) || 20;
  find("#q").value = state.q;
  find("#page_size").value = String(state.page_size);
  return values.get("edit");
}

function fail(error) {
  find("#failure").textContent = error ? (error.answer?.errors ?? []).map((one) => `${one.field}: ${one.message}`).join("; ") || error.message : "";
}

// --- lists

function headCell([field, title]) {
  const sorted = state.sort.replace("-", "") === field;
  const down = sorted && state.sort[0] === "-";
  const cell = el("th", { scope: "col" }, el("button", { type: "button", className: "sorter", click: () => change({ sort: sorted && !down ? `-${field}` : field, page: 1 }, true) }, title, sorted ? (down ? " ↓" : " ↑") : ""));
  if (sorted) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
  return cell;
}

function dot(id) {
  return el("td", {}, el("span", { className: "dot", "data-id": String(id), role: "img", "aria-label": "being compared", title: "being compared" }, "…"));
}

function buttons(row) {
  const { one } = LISTS[state.list];
  const name = row.title ?? row.name;
  return el("td", { className: "actions" },
    el("button", { type: "button", className: "outline small", "aria-label": `Edit ${name}`, click: () => edit(row) }, "Edit"),
    one === "book" && row.status === "draft" ? el("button", { type: "button", className: "outline small", "aria-label": `Publish ${name}`, click: () => publish(row) }, "Publish") : null,
    el("button", { type: "button", className: "outline secondary small", "aria-label": `Delete ${name}`, click: () => remove(row) }, "Delete"));
}

function rowElement(row) {
  const cells = LISTS[state.list].columns.map(([field]) => el("td", {}, field === "published_at" ? (row[field] ?? "").slice(0, 10) : String(row[field] ?? "")));
  const more = state.list === "books" ? [el("td", {}, row.authors.map((author) => author.name).join(", ")), dot(row.id)]
    : [el("td", {}, row.bio ?? ""), el("td", {}, String(row.books))];
  return el("tr", {}, cells, more, buttons(row));
}

async function compare(rows) {
  let items;
  try {
    ({ items } = await ask("GET", `/documents?ids=${rows.map((row) => row.id).join(",")}`));
  } catch {
    items = rows.map(({ id }) => ({ id, state: "unknown" }));
  }
  for (const item of items) {
    const place = find(`.dot[data-id="${item.id}"]`);
    const [sign, words] = STATES[item.state];
    if (!place) continue;
    place.textContent = sign;
    place.title = words;
    place.setAttribute("aria-label", words);
    place.dataset.state = item.state;
  }
}

async function draw() {
  const { path, columns, others, one } = LISTS[state.list];
  const turn = ++drawn;
  const values = new URLSearchParams({ page: state.page, page_size: state.page_size, sort: state.sort });
  if (state.q) values.set("q", state.q);
  try {
    const { items, total } = await ask("GET", `${path}?${values}`);
    if (turn !== drawn) return;
    const pages = Math.max(1, Math.ceil(total / state.page_size));
    find("#head").replaceChildren(...columns.map(headCell), ...others.map((title) => el("th", { scope: "col" }, title)), el("th", { scope: "col" }, "Actions"));
    find("#body").replaceChildren(...(items.length ? items.map(rowElement)
      : [el("tr", {}, el("td", { colSpan: columns.length + others.length + 1 }, state.q ? `No ${one} has “${state.q}” in it.` : `There is no ${one} yet. Add one.`))]));
    find("#page").textContent = `Page ${state.page} of ${pages}, ${total} ${state.list}`;
    find("#previous").disabled = state.page <= 1;
    find("#next").disabled = state.page >= pages;
    find("#list-books").setAttribute("aria-pressed", String(state.list === "books"));
    find("#list-authors").setAttribute("aria-pressed", String(state.list === "authors"));
    find("#list-books").classList.toggle("outline", state.list !== "books");
    find("#list-authors").classList.toggle("outline", state.list !== "authors");
    fail(null);
    if (state.list === "books" && items.length) await compare(items);
  } catch (error) {
    fail(error);
  }
}

function change(values, push) {
  Object.assign(state, values);
  toAddress(push);
  return draw();
}

async function count() {
  const { postgres, index } = await ask("GET", "/stats");
  const says = (selector, value) => { find(selector).textContent = value === null ? "?" : String(value); };
  says("#rows", postgres.books);
  says("#documents", index.documents);
  says("#authors", postgres.authors);
  says("#links", postgres.links);
  find("#verdict").textContent = index.documents === null ? `The search engine does not say how many documents ${index.name} has: does a PgSync fill it?`
    : index.documents === postgres.books ? "The index has as many documents as Postgres has books."
      : `Postgres has ${postgres.books} books, the index has ${index.documents} documents: the index is catching up, or no PgSync follows the tables.`;
}

const recount = () => count().catch((error) => { find("#verdict").textContent = error.message; });

// --- what was written

async function watch(what, id, since) {
  const line = el("li", {}, `${what}: committed after ${milliseconds(since)} ms`);
  const committed = performance.now();
  const changes = find("#changes");
  changes.prepend(line);
  while (changes.children.length > 10) changes.lastChild.remove();
  draw();
  recount();
  if (id === null) return;
  try {
    const took = await waitIndexed(id, committed);
    line.append(took === null ? ", not in the index after 15 s" : `, in the index after ${took} ms`);
  } catch (error) {
    line.append(`; then: ${error.message}`);
  }
  draw();
  recount();
}

async function publish(row) {
  const since = performance.now();
  try {
    await ask("POST", `/books/${row.id}/publish`);
    watch(`Published “${row.title}”`, row.id, since);
  } catch (error) {
    fail(error);
  }
}

async function remove(row) {
  const { path, one } = LISTS[state.list];
  const name = row.title ?? row.name;
  if (!confirm(`Delete the ${one} “${name}”?`)) return;
  const since = performance.now();
  try {
    await ask("DELETE", `${path}/${row.id}`);
    watch(`Deleted “${name}”`, one === "book" ? row.id : null, since);
  } catch (error) {
    fail(error);
  }
}

// --- forms

function field(name, label, input) {
  const note = el("small", { id: `${name}-note` });
  input.name = name;
  input.setAttribute("aria-describedby", note.id);
  return el("div", { className: "field", "data-field": name }, el("label", {}, `${label} `, input), note);
}

function authorsField(ids) {
  const chosen = new Set(ids);
  const list = el("ul", { className: "chosen" });
  const options = el("datalist", { id: "author-names" }, allAuthors.map(({ name }) => el("option", { value: name })));
  const input = el("input", { autocomplete: "off", placeholder: "type a name" });
  input.setAttribute("list", options.id);
  const show = () => list.replaceChildren(...[...chosen].map((id) => {
    const name = allAuthors.find((author) => author.id === id)?.name ?? `author ${id}`;
    return el("li", {}, name, " ", el("button", { type: "button", className: "outline secondary small", "aria-label": `Remove ${name}`, click: () => { chosen.delete(id); show(); } }, "×"));
  }));
  input.addEventListener("input", () => {
    const found = allAuthors.find(({ name }) => name === input.value);
    if (!found) return;
    chosen.add(found.id);
    input.value = "";
    show();
  });
  show();
  return [el("div", {}, field("author_ids", "Authors", input), options, list), () => [...chosen]];
}

function bookForm(row) {
  const [authors, ids] = authorsField(row?.authors.map((author) => author.id) ?? []);
  const status = el("select", {}, ["draft", "published", "withdrawn"].map((word) => el("option", { selected: word === (row?.status ?? "draft") }, word)));
  return [[field("title", "Title", el("input", { value: row?.title ?? "" })), field("isbn", "ISBN", el("input", { value: row?.isbn ?? "" })),
    field("price", "Price", el("input", { value: row?.price ?? "", inputMode: "decimal" })), field("status", "Status", status),
    field("published_at", "Published", el("input", { type: "date", value: (row?.published_at ?? "").slice(0, 10) })), authors],
  (form) => {
    const same = row && form.published_at.value === (row.published_at ?? "").slice(0, 10);
    return { title: form.title.value, isbn: form.isbn.value, price: form.price.value, status: form.status.value, author_ids: ids(),
      ...(same ? {} : { published_at: form.published_at.value || null }) };
  }];
}

function authorForm(row) {
  return [[field("name", "Name", el("input", { value: row?.name ?? "" })), field("bio", "Bio", el("textarea", { rows: 4, value: row?.bio ?? "" }))],
    (form) => ({ name: form.name.value, bio: form.bio.value.trim() ? form.bio.value : null })];
}

function showErrors(form, error) {
  for (const place of form.querySelectorAll(".field")) {
    const wrong = (error.answer?.errors ?? []).find((one) => one.field === place.dataset.field);
    place.querySelector("small").textContent = wrong ? wrong.message : "";
    const input = place.querySelector("input, select, textarea");
    if (wrong) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
  const current = error.answer?.current;
  form.querySelector(".form-failure").textContent = current ? `Someone else has changed it. It is now ${JSON.stringify(current)}. Save again to overwrite it with your version.`
    : error.answer?.errors ? "" : error.message;
  return current?.version;
}

async function edit(row) {
  const { path, one } = LISTS[state.list];
  const dialog = find("#edit");
  const form = find("#form");
  let version = row?.version;
  if (one === "book") ({ items: allAuthors } = await ask("GET", "/authors?page_size=100&sort=name"));
  const [fields, read] = one === "book" ? bookForm(row) : authorForm(row);
  let touched = false;
  find("#edit-title").textContent = row ? `Edit ${one} ${row.id}` : `Add a ${one === "book" ? "book" : "new author"}`;
  const leave = () => { if (!touched || confirm("Leave without saving?")) dialog.close(); };
  form.replaceChildren(...fields, el("p", { className: "failed form-failure", role: "alert" }),
    el("div", { className: "buttons" }, el("button", {}, "Save"), el("button", { type: "button", className: "secondary", click: leave }, "Cancel")));
  form.oninput = () => { touched = true; };
  dialog.oncancel = (event) => { event.preventDefault(); leave(); };
  form.onsubmit = async (event) => {
    event.preventDefault();
    const since = performance.now();
    try {
      const values = read(form);
      const made = row ? await ask("PATCH", `${path}/${row.id}`, { ...values, version }) : await ask("POST", path, values);
      dialog.close();
      watch(`${row ? "Changed" : "Added"} “${made.title ?? made.name}”`, await watched(one, made), since);
    } catch (error) {
      version = showErrors(form, error) ?? version;
    }
  };
  dialog.showModal();
}

/** The book whose document shows the change: a book itself, or one of the author's. */
async function watched(one, made) {
  if (one === "book") return made.id;
  if (!made.books) return null;
  const { items } = await ask("GET", `/books?q=${encodeURIComponent(made.name)}&page_size=100`);
  return items.find((book) => book.authors.some((author) => author.id === made.id))?.id ?? null;
}

// --- begin

async function editFromAddress(id) {
  try {
    edit(await ask("GET", `${LISTS[state.list].path}/${encodeURIComponent(id)}`));
  } catch (error) {
    fail(error);
  }
}

let timer;
find("#q").addEventListener("input", (event) => {
  clearTimeout(timer);
  timer = setTimeout(() => change({ q: event.target.value, page: 1 }), 150);
});
find("#page_size").addEventListener("change", (event) => change({ page_size: Number(event.target.value), page: 1 }, true));
find("#list-books").addEventListener("click", () => change({ list: "books", sort: "id", page: 1 }, true));
find("#list-authors").addEventListener("click", () => change({ list: "authors", sort: "id", page: 1 }, true));
find("#previous").addEventListener("click", () => change({ page: state.page - 1 }, true));
find("#next").addEventListener("click", () => change({ page: state.page + 1 }, true));
find("#new").addEventListener("click", () => edit(null));
addEventListener("popstate", () => { fromAddress(); draw(); });
begin({ "/": ["go to the search box", () => find("#q").focus()], n: ["add", () => edit(null)], j: ["next page", () => find("#next").click()], k: ["previous page", () => find("#previous").click()] });
const wanted = fromAddress();
draw();
recount();
setInterval(recount, 2000);
if (wanted) editFromAddress(wanted);
