// What the pages of every program share: elements, the theme, and the keys.

/** An element: properties by name, attributes with a "-", listeners as functions; texts are only ever texts. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (name.includes("-") || name === "role" || name === "for") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export const find = (selector) => document.querySelector(selector);

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  find("#theme").textContent = dark ? "Light" : "Dark";
  find("#theme").setAttribute("aria-label", dark ? "Use the light theme" : "Use the dark theme");
  return dark;
}

/** Theme and keys; keys: {"j": [what it does, function]}. */
export function begin(keys) {
  let dark = setTheme(localStorage.getItem("theme"));
  find("#theme").addEventListener("click", () => {
    localStorage.setItem("theme", dark ? "light" : "dark");
    dark = setTheme(localStorage.getItem("theme"));
  });
  const list = find("#keys dl");
  for (const [key, [what]] of Object.entries({ ...keys, "?": ["show the keyboard shortcuts"] }))
    list.append(el("dt", {}, el("kbd", {}, key)), el("dd", {}, what));
  find("#keys button").addEventListener("click", () => find("#keys").close());
  find("#show-keys").addEventListener("click", () => find("#keys").showModal());
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, textarea") || document.querySelector("dialog[open]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "?") find("#keys").showModal();
    else if (keys[event.key]) keys[event.key][1]();
    else return;
    event.preventDefault();
  });
}
