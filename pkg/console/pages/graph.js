// A tree of tables as a graph: each table is a card, its children are to the right of it.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, GAP, ROW] = [170, 44, 60, 58]; // of a card; between columns of cards; of a row

/** An element of an image. */
function shape(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Where each node is: a leaf takes the next row, and a parent is in the middle of its children. Whatever a schema
 * contains that is no node is left out: it may not have been checked. at: the place of the root in the schema. */
export function layout(root, at) {
  const nodes = [];
  let rows = 0;
  const place = (node, path, depth, parent) => {
    const made = { node, path, depth, parent, row: 0 };
    nodes.push(made);
    const children = (Array.isArray(node.children) ? node.children : []).map((child, i) => [child, `${path}.children[${i}]`])
      .filter(([child]) => typeof child === "object" && child !== null).map(([child, below]) => place(child, below, depth + 1, made));
    made.row = children.length ? (children[0].row + children[children.length - 1].row) / 2 : rows++;
    return made;
  };
  if (typeof root === "object" && root !== null) place(root, at, 0, null);
  return { nodes, rows, depth: Math.max(0, ...nodes.map(({ depth }) => depth)) + 1 };
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function edge({ node, path, depth, row, parent }, remarks) {
  const [x, y] = [depth * (WIDTH + GAP), row * ROW + HEIGHT / 2];
  const [fromX, fromY] = [parent.depth * (WIDTH + GAP) + WIDTH, parent.row * ROW + HEIGHT / 2];
  const { type, through_tables: through } = node.relationship ?? {};
  const words = [{ one_to_one: "one", one_to_many: "many" }[type], [].concat(through ?? []).length ? `through ${[].concat(through).join(", ")}` : null];
  const made = shape("path", { d: `M${fromX} ${fromY} C${fromX + GAP / 2} ${fromY} ${x - GAP / 2} ${y} ${x} ${y}` });
  made.append(shape("title", {}, [words.filter(Boolean).join(", "), ...(remarks.get(path) ?? [])].join("\n")));
  if (remarks.has(path)) made.setAttribute("class", "remarked");
  return made;
}

function card({ node, path, depth, row }, remarks) {
  const made = shape("g", { transform: `translate(${depth * (WIDTH + GAP)} ${row * ROW})` });
  const columns = Array.isArray(node.columns) ? node.columns.map((column) => (typeof column === "string" ? column : JSON.stringify(column))).join(", ") : "all columns";
  const label = String(node.label ?? node.table ?? "?");
  made.append(shape("title", {}, [`${node.table ?? "?"}: ${columns}`, ...(remarks.get(path) ?? [])].join("\n")), shape("rect", { width: WIDTH, height: HEIGHT, rx: 6 }),
    shape("text", { x: 10, y: 18, class: "table" }, cut(label, 20)), shape("text", { x: 10, y: 35 }, cut(columns, 24)));
  if (remarks.has(path)) {
    made.setAttribute("class", "remarked");
    made.append(shape("text", { x: WIDTH - 14, y: 18, class: "sign" }, "!"));
  }
  return made;
}

/** The image; the words of the tree are beside it, for those who do not see it. remarks: by places in the schema. */
export function graph(root, at, label, remarks) {
  const { nodes, rows, depth } = layout(root, at);
  const [width, height] = [depth * (WIDTH + GAP) - GAP, Math.max(1, rows) * ROW - (ROW - HEIGHT)];
  const made = shape("svg", { class: "graph", viewBox: `-2 -2 ${width + 4} ${height + 4}`, width: width + 4, height: height + 4, role: "img", "aria-label": label });
  made.append(...nodes.filter(({ parent }) => parent).map((node) => edge(node, remarks)), ...nodes.map((node) => card(node, remarks)));
  return made;
}
