// What the bookstore's pages share: requests, marked texts, and waiting for the index.
import { el } from "/page.js";

export { begin, el, find } from "/page.js";

export class Refused extends Error {
  constructor(status, answer) {
    super(answer?.message ?? `the bookstore answered ${status}`);
    this.status = status;
    this.answer = answer;
  }
}

/** A request to the bookstore; an answer of 400 and above, or none, is thrown. */
export async function ask(method, path, body, signal) {
  const options = { method, signal, headers: {} };
  if (body !== undefined) {
    options.body = typeof body === "string" ? body : JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { message: "The bookstore does not answer. Is it running?" });
  }
  const text = await response.text();
  let answer;
  try {
    answer = text ? JSON.parse(text) : null;
  } catch {
    throw new Refused(response.status, { message: "The bookstore's answer is not JSON." });
  }
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

/** A text with what the engine put between <mark> and </mark> as marked elements. */
export function marked(text) {
  return text.split("<mark>").flatMap((piece, i) => {
    if (i === 0) return [piece];
    const [inside, ...rest] = piece.split("</mark>");
    return [el("mark", {}, inside), rest.join("</mark>")];
  });
}

export const milliseconds = (since) => Math.max(1, Math.round(performance.now() - since));
export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Waits until the index has a book as Postgres has it, or no longer has a deleted one; how long that took, or null. */
export async function waitIndexed(id, since, limit = 15000) {
  while (performance.now() - since < limit) {
    const { items } = await ask("GET", `/documents?ids=${id}`);
    if (items[0].state === "same" || items[0].state === "absent") return milliseconds(since);
    await pause(5);
  }
  return null;
}

/** An ISBN-13 with a correct check digit, from a range that no publisher has. */
export function someIsbn() {
  const digits = "97999" + String(Math.floor(Math.random() * 1e7)).padStart(7, "0");
  const sum = [...digits].reduce((all, digit, i) => all + Number(digit) * (i % 2 ? 3 : 1), 0);
  return digits + ((10 - (sum % 10)) % 10);
}
