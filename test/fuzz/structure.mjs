// Trees over the two nested encodings the parsers read, CBOR (RFC 8949) and DER (X.690), so that a mutation can change
// one item and leave every length around it right: without that, nearly all inputs die at the first length.

const MAX_NODES = 4000;
const MAX_DEPTH = 24;

/**
 * @typedef {object} Node
 * @property {'cbor' | 'der'} kind
 * @property {number} tag the initial byte
 * @property {number} start
 * @property {number} body where the contents begin
 * @property {number} tail where they end; a CBOR break byte may follow
 * @property {number} end
 * @property {Node[]} children
 */

function cborNode(data, start, limit, depth, budget) {
  if (start >= limit || depth > MAX_DEPTH || budget.nodes-- <= 0) return null;
  const tag = data[start];
  const major = tag >> 5;
  const info = tag & 31;
  const width = info < 24 ? 0 : info < 28 ? 1 << (info - 24) : info === 31 ? 0 : -1;
  if (width < 0 || start + 1 + width > limit) return null;
  let value = width === 0 ? info : 0;
  for (let i = 0; i < width; i++) value = value * 256 + data[start + 1 + i];
  const body = start + 1 + width;
  const node = { kind: 'cbor', tag, start, body, tail: body, end: body, children: [] };
  if (major < 2 || (major === 7 && info !== 31)) return node;
  if (info !== 31 && (major === 2 || major === 3)) {
    if (body + value > limit) return null;
    node.tail = node.end = body + value;
    if (major === 2) node.children = forest(data, body, node.end, depth + 1, budget) ?? [];
    return node;
  }
  const wanted = info === 31 ? Infinity : major === 6 ? 1 : major === 5 ? 2 * value : value;
  if (major === 7 || wanted > limit) if (info !== 31 || major === 7) return null;
  let at = body;
  while (node.children.length < wanted) {
    if (info === 31 && data[at] === 0xff) break;
    const child = cborNode(data, at, limit, depth + 1, budget);
    if (!child) return null;
    node.children.push(child);
    at = child.end;
  }
  node.tail = at;
  node.end = info === 31 ? at + 1 : at;
  return node;
}

function derNode(data, start, limit, depth, budget) {
  if (start + 2 > limit || depth > MAX_DEPTH || budget.nodes-- <= 0) return null;
  const tag = data[start];
  const first = data[start + 1];
  const width = first < 0x80 ? 0 : first - 0x80;
  if (width > 4 || first === 0x80 || start + 2 + width > limit) return null;
  let length = width === 0 ? first : 0;
  for (let i = 0; i < width; i++) length = length * 256 + data[start + 2 + i];
  const body = start + 2 + width;
  const end = body + length;
  if (end > limit) return null;
  const node = { kind: 'der', tag, start, body, tail: end, end, children: [] };
  if (tag & 0x20 || tag === 0x04) node.children = ders(data, body, end, depth + 1, budget) ?? [];
  if (tag === 0x03) node.children = ders(data, body + 1, end, depth + 1, budget) ?? [];
  return node;
}

function ders(data, start, end, depth, budget) {
  const nodes = [];
  for (let at = start; at < end; ) {
    const node = derNode(data, at, end, depth, budget);
    if (!node) return null;
    nodes.push(node);
    at = node.end;
  }
  return nodes;
}

/** The items that fill exactly these bytes; null when they are neither encoding. */
function forest(data, start, end, depth, budget) {
  if (end - start < 2) return null;
  if (data[start] === 0x30) {
    const nodes = ders(data, start, end, depth, budget);
    if (nodes) return nodes;
  }
  const nodes = [];
  for (let at = start; at < end; ) {
    const node = cborNode(data, at, end, depth, budget);
    if (!node) return null;
    nodes.push(node);
    at = node.end;
  }
  // A run of random bytes often reads as small items; that is no structure.
  return nodes.some(({ children }) => children.length > 0) ? nodes : null;
}

/** @returns {Node[] | null} */
export const structure = (data) => forest(data, 0, data.length, 0, { nodes: MAX_NODES });

/** Every node with its parent, outermost first. */
export function flatten(roots) {
  const all = [];
  const walk = (nodes, parent) => {
    for (const [index, node] of nodes.entries()) {
      all.push({ node, parent, index, siblings: nodes });
      walk(node.children, node);
    }
  };
  walk(roots, null);
  return all;
}

/** Shortest CBOR head. */
export function cborHead(major, value) {
  if (value < 24) return Buffer.of((major << 5) | value);
  if (value < 0x100) return Buffer.of((major << 5) | 24, value);
  if (value < 0x10000) return Buffer.of((major << 5) | 25, value >> 8, value & 0xff);
  const head = Buffer.alloc(5, (major << 5) | 26);
  head.writeUInt32BE(value, 1);
  return head;
}

export function derHead(tag, length) {
  if (length < 0x80) return Buffer.of(tag, length);
  if (length < 0x100) return Buffer.of(tag, 0x81, length);
  if (length < 0x10000) return Buffer.of(tag, 0x82, length >> 8, length & 0xff);
  return Buffer.of(tag, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff);
}

/** The head that fits new contents: a length, or how many items. */
function head(data, node, contents, items) {
  if (node.kind === 'der') return derHead(node.tag, contents);
  const major = node.tag >> 5;
  const indefinite = (node.tag & 31) === 31;
  if (!indefinite && (major === 2 || major === 3)) return cborHead(major, contents);
  if (!indefinite && major === 4) return cborHead(4, items);
  if (!indefinite && major === 5 && items % 2 === 0) return cborHead(5, items / 2);
  return data.subarray(node.start, node.body);
}

/**
 * The same bytes with some nodes replaced, and every length and count above them made to fit.
 * @param {Map<Node, Uint8Array[]>} edits each node's replacement: any number of items
 */
export function rebuild(data, roots, edits) {
  const changed = new Set();
  const mark = (node) => {
    let below = edits.has(node);
    for (const child of node.children) below = mark(child) || below;
    if (below) changed.add(node);
    return below;
  };
  roots.forEach(mark);
  const write = (node) => {
    if (!changed.has(node)) return data.subarray(node.start, node.end);
    const edit = edits.get(node);
    if (edit) return Buffer.concat(edit);
    const before = data.subarray(node.body, node.children[0].start);
    const contents = Buffer.concat([before, ...node.children.map(write)]);
    const items = node.children.reduce((count, child) => count + (edits.get(child)?.length ?? 1), 0);
    return Buffer.concat([head(data, node, contents.length, items), contents, data.subarray(node.tail, node.end)]);
  };
  return Buffer.concat(roots.map(write));
}
