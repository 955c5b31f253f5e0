// What the console's pages share: requests with the token, and values as people read them.
import { el, find } from "/page.js";

export function say(selector, text) {
  if (find(selector).textContent !== text) find(selector).textContent = text;
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The token is kept for this tab and this origin only; see pkg/console/console.h. */
export const token = {
  get: () => sessionStorage.getItem("token"),
  set: (text) => sessionStorage.setItem("token", text.trim()),
  drop: () => sessionStorage.removeItem("token"),
};

/** Asks for the token, if that is what a request lacked (or a wrong one is what it had); then true. */
export function wantsToken(error) {
  const wants = error.status === 401;
  find("#token").hidden = !wants;
  if (wants) {
    say("#verdict", "This console needs its token.");
    say("#lost", token.get() ? "The token is not the right one." : "");
    token.drop();
  }
  return wants;
}

/** Calls turn with each token that is entered. */
export function takeTokens(turn) {
  find("#token").addEventListener("submit", (event) => {
    event.preventDefault();
    token.set(event.target.token.value);
    event.target.reset();
    turn();
  });
}

async function request(method, path, headers) {
  if (/[^!-~]/.test(token.get() ?? "")) throw new Refused(401, "A token has no such characters.");
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  let response;
  try {
    response = await fetch(path, { method, headers, cache: "no-store" });
  } catch {
    throw new Refused(0, "pgsync does not answer.");
  }
  if (response.status === 304) return { response };
  let value;
  try {
    value = await response.json();
  } catch {
    throw new Refused(response.status, `pgsync answered ${response.status}, not as JSON.`);
  }
  if (!response.ok) throw new Refused(response.status, value?.message ?? `pgsync answered ${response.status}.`);
  return { value, response };
}

/** GET; the answer and its ETag, or null if the version is still the one with this ETag. Other answers are thrown. */
export async function get(path, etag) {
  const { value, response } = await request("GET", path, etag ? { "If-None-Match": etag } : {});
  return value === undefined ? null : { value, etag: response.headers.get("ETag") };
}

/** POST without a body; what was answered. */
export const post = async (path) => (await request("POST", path, {})).value;

const FASTEST = 1000;
const SLOWEST = 10000;

/** Calls ask every second while the page is visible, and less often while it fails; failed(error, for how many ms). */
export function repeat(ask, failed) {
  let pause = FASTEST;
  let last = Date.now();
  let timer;
  let asking = false;
  const turn = async () => {
    if (asking) return;
    clearTimeout(timer);
    asking = true;
    try {
      if (!document.hidden) await ask();
      last = Date.now();
      pause = FASTEST;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      failed(error, Date.now() - last);
      pause = Math.min(SLOWEST, pause * (1.5 + Math.random() / 2));
    } finally {
      asking = false;
    }
    timer = setTimeout(turn, pause);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) turn(); });
  turn();
  return turn;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(n) {
  if (n === undefined || n === null) return "–";
  let unit = 0;
  let value = n;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

export function seconds(n) {
  if (n === undefined || n === null) return "–";
  if (n < 120) return `${Math.round(n)} s`;
  if (n < 7200) return `${Math.round(n / 60)} min`;
  return n < 172800 ? `${Math.round(n / 3600)} h` : `${Math.round(n / 86400)} d`;
}

export const count = (n) => (n === undefined || n === null ? "–" : n.toLocaleString("en"));
export const age = (time) => (time ? seconds(Math.max(0, (Date.now() - Date.parse(time)) / 1000)) : "–");

/** A position of the WAL, "16/B374D848", as a number of bytes. */
export function position(lsn) {
  const found = /^([0-9A-F]+)\/([0-9A-F]+)$/i.exec(lsn ?? "");
  return found ? parseInt(found[1], 16) * 2 ** 32 + parseInt(found[2], 16) : null;
}

// --- rates, and the bar of a bootstrap; an entry is { item, samples, rows, wal }

const RATE_MS = 10000; // rates are those of the last 10 seconds

/** Change a second of a number that was sampled, or null. */
function rate(samples, field) {
  const known = samples.filter((one) => one[field] !== null);
  if (known.length < 2) return null;
  const [first, last] = [known[0], known[known.length - 1]];
  const per = (last[field] - first[field]) / ((last.time - first.time) / 1000);
  return per >= 0 && Number.isFinite(per) ? per : null;
}

/** Takes another sample of what is known, and computes rows/s and WAL/s. */
export function sample(entry, now) {
  const { item, samples } = entry;
  samples.push({ time: now, rows: item.rowsDone ?? null, wal: position(item.confirmedFlushLSN) });
  while (samples.length > 2 && now - samples[0].time > RATE_MS) samples.shift();
  entry.rows = rate(samples, "rows");
  entry.wal = rate(samples, "wal");
}

export const isCopying = (entry) => !entry.item.bootstrapComplete && (entry.item.phase === "Bootstrapping" || entry.rows > 0);

/** The bar of a bootstrap, and its words. */
export function copying(entry) {
  const { rowsDone = 0, rowsTotal = 0 } = entry.item;
  const left = entry.rows > 0 && rowsTotal > rowsDone ? `, ${seconds((rowsTotal - rowsDone) / entry.rows)} left` : "";
  const bar = el("progress", { value: rowsDone, max: Math.max(rowsTotal, rowsDone, 1), "aria-label": `Rows of ${entry.item.name} that are copied` });
  return [bar, `${entry.item.progress ?? "0%"}`, entry.rows ? ` · ${count(Math.round(entry.rows))} rows/s${left}` : ""];
}

/** The verdicts of `kubectl pgsync status`, the most urgent first: a sign, a word, and what it means in a sentence about one and several. */
export const VERDICTS = {
  Broken: ["✕", "broken", "is broken", "are broken"],
  Unknown: ["?", "unknown", "is in an unknown state", "are in an unknown state"],
  Late: ["!", "late", "is late", "are late"],
  Degraded: ["◐", "degraded", "leaves something out", "leave something out"],
  Working: ["↻", "in progress", "is being worked on", "are being worked on"],
  Planned: ["☐", "planned", "is only planned", "are only planned"],
  Suspended: ["‖", "suspended", "is suspended", "are suspended"],
  Flowing: ["✓", "up to date", "is up to date", "are up to date"],
};

const SVG = "http://www.w3.org/2000/svg";

/** A small chart of numbers, the newest last; null is a gap at which the line begins again. */
export function spark(values, label) {
  const most = Math.max(1, ...values.filter((value) => value !== null));
  const chart = document.createElementNS(SVG, "svg");
  let points = [];
  const flush = () => {
    if (points.length) {
      const line = document.createElementNS(SVG, "polyline");
      line.setAttribute("points", points.join(" "));
      chart.append(line);
    }
    points = [];
  };
  chart.setAttribute("class", "spark");
  chart.setAttribute("viewBox", `0 -8 ${Math.max(1, values.length - 1)} 116`);
  chart.setAttribute("preserveAspectRatio", "none");
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", label);
  values.forEach((value, x) => {
    if (value === null) flush();
    else points.push(`${x},${(100 - (100 * value) / most).toFixed(1)}`);
  });
  flush();
  return chart;
}
