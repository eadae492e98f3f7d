// Mutations: of bytes, of text, and of the CBOR or DER items an input is made of.
import { cborHead, derHead, flatten, rebuild, structure } from './structure.mjs';

const MAX_BYTES = 8192;
const INTERESTING = [
  0, 1, 0x7f, 0x80, 0xff, 0x1f, 0x20, 0x40, 0x5f, 0x9f, 0xa0, 0xbf, 0xd2, 0xf6, 0x30, 0x82, 0x22, 0x7b,
];
const WORDS = [0n, 1n, 0x7fn, 0xffn, 0x100n, 0x7fffn, 0xffffn, 0x10000n, 0x7fffffffn, 0x80000000n, 0xffffffffn];
const hex = (...texts) => texts.map((text) => Buffer.from(text, 'hex'));
const CBOR_ITEMS = hex(
  ...['00', '17', '1818', '1bffffffffffffffff', '1b0020000000000000', '20', '3bffffffffffffffff', '40', '60', '80'],
  ...['a0', 'f4', 'f5', 'f6', 'f7', 'f97e00', 'fb7ff8000000000000', 'c000', 'd28440a04040', '5fff', '9fff', 'bfff'],
  ...['5b00000000ffffffff', '9bffffffffffffffff', 'bb0000000100000000', '62c328', '61ff', 'ff', '1c', 'a2000000ff'],
);
const DER_ITEMS = hex(
  ...['0500', '0101ff', '010101', '020100', '0201ff', '02020080', '020900ffffffffffffffff', '3000', '3100', '0400'],
  ...['0301ff', '030100', '170d3235303130313030303030305a', '180f32303530303133303030303030305a', '0600', '0603813400'],
  ...['308000', '3084ffffffff', '30820000', 'a003020102', '0c00', '1300', '02810100', '1f8100'],
);
const JSON_TOKENS = [
  'null',
  'true',
  '-0',
  '1e999',
  '9007199254740993',
  '""',
  '[]',
  '{}',
  '"\\ud800"',
  '"\\u0000"',
  '1.5',
];
const NUMBER = /-?\d+(\.\d+)?/g;

/** xorshift32: the whole run follows from one seed. */
export function randomOf(seed) {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const isText = (data) =>
  data.length > 0 && data.subarray(0, 64).every((byte) => byte === 10 || (byte > 31 && byte < 127));

/** @param {readonly Uint8Array[]} dictionary words of the sources */
export function mutator(random, dictionary) {
  const pick = (list) => list[random(list.length)];
  const noise = (length) => Buffer.from(Array.from({ length }, () => random(256)));

  function changeBytes(data, corpus) {
    const at = random(data.length + 1);
    const splice = (from, to, middle) => Buffer.concat([data.subarray(0, from), middle, data.subarray(to)]);
    switch (random(10)) {
      case 0:
        return splice(at, at + 1, Buffer.of((data[at] ?? 0) ^ (1 << random(8))));
      case 1:
        return splice(at, at + 1, Buffer.of(pick(INTERESTING)));
      case 2:
        return splice(at, at + 1, noise(1));
      case 3:
        return splice(at, at, noise(1));
      case 4:
        return splice(at, at + 1 + random(8), Buffer.alloc(0));
      case 5:
        return splice(at, at, data.subarray(at, at + random(64)));
      case 6: {
        const other = pick(corpus).data;
        return splice(at, data.length, other.subarray(random(other.length + 1)));
      }
      case 7: {
        // A field of fixed place and width.
        const width = pick([2, 4, 8]);
        const field = Buffer.alloc(8);
        field.writeBigUInt64LE(pick(WORDS));
        const bytes = field.subarray(0, width);
        const from = at - (at % pick([1, 4, 8]));
        return splice(from, from + width, random(2) ? bytes : Buffer.from(bytes).reverse());
      }
      case 8: {
        const word = pick(dictionary);
        return splice(at, random(2) ? at : at + word.length, word);
      }
      default:
        return data.subarray(0, at);
    }
  }

  function changeText(data) {
    const text = Buffer.from(data).toString('latin1');
    const replaceOne = (pattern, by) => {
      const found = [...text.matchAll(pattern)];
      if (found.length === 0) return text;
      const { index, 0: old } = pick(found);
      return text.slice(0, index) + by(old) + text.slice(index + old.length);
    };
    const change = () => {
      switch (random(6)) {
        case 0:
          return replaceOne(NUMBER, () => String(pick([...WORDS, -1n, 2n ** 53n, 10n ** 30n])));
        case 1:
          return replaceOne(/"[^"]*"|true|false|null|-?\d+/g, () => pick(JSON_TOKENS));
        case 2:
          return replaceOne(/"[^"]*"/g, () => `"${pick(dictionary).toString('latin1')}"`);
        case 3:
          return replaceOne(/[^\n]*\n/g, (line) => pick(['', line + line, `${line}\n`]));
        case 4:
          return replaceOne(/[^,{[]+,/g, (part) => pick(['', part + part]));
        default:
          return replaceOne(/[[{]/g, (open) => open.repeat(1 + random(400)));
      }
    };
    return Buffer.from(change(), 'latin1');
  }

  /** An item that is wrong in its own head. */
  function badHead(data, { kind, tag, start, body, end }) {
    const contents = data.subarray(body, end);
    if (kind === 'der') {
      const length = end - body;
      const long = Buffer.of(tag, 0x84, 0, 0, length >> 8, length & 0xff);
      const huge = Buffer.of(tag, 0x84, 0xff, 0xff, 0xff, 0xff);
      const off = derHead(tag, Math.max(0, length + pick([-1, 1])));
      return Buffer.concat([pick([long, huge, off, Buffer.of(tag, 0x80)]), contents]);
    }
    const major = tag >> 5;
    const head = data.subarray(start, body);
    const value = body - start === 1 ? tag & 31 : head[head.length - 1];
    const wide = Buffer.of((major << 5) | 27, 0, 0, 0, 0, 0, 0, 0, value);
    const huge = Buffer.of((major << 5) | pick([26, 27]), 0xff, 0xff, 0xff, 0xff, ...(random(2) ? [0, 0, 0, 0] : []));
    const off = cborHead(major, Math.max(0, value + pick([-1, 1])));
    const endless = Buffer.of((major << 5) | 31);
    if (random(3) === 0) return Buffer.concat([endless, contents, Buffer.of(0xff)]);
    return Buffer.concat([pick([wide, huge, off]), contents]);
  }

  function nested(item, kind) {
    let inner = item;
    for (let depth = 1 + random(300); depth > 0; depth--) {
      inner = Buffer.concat([kind === 'der' ? derHead(0x30, inner.length) : Buffer.of(0x81), inner]);
    }
    return inner;
  }

  function changeContents(data, { kind, tag, body, end }) {
    const old = data.subarray(body, end);
    const fresh = pick([
      () => Buffer.alloc(0),
      () => noise(old.length),
      () => Buffer.alloc(old.length, pick(INTERESTING)),
      () => Buffer.concat([old, noise(1)]),
      () => old.subarray(0, -1),
      () => Buffer.alloc(pick([1, 16, 31, 32, 33, 48, 64, 65, 512, 1025])),
      () => pick(dictionary),
      () => changeBytes(old, [{ data: old }]),
    ])();
    return Buffer.concat([kind === 'der' ? derHead(tag, fresh.length) : cborHead(tag >> 5, fresh.length), fresh]);
  }

  const treeOf = (entry) => {
    if (entry.tree === undefined) {
      const roots = structure(entry.data);
      entry.tree = roots ? { roots, all: flatten(roots) } : null;
    }
    return entry.tree;
  };

  function changeItem(entry, corpus) {
    const tree = treeOf(entry);
    if (!tree) return null;
    const { data } = entry;
    const { node, parent, index, siblings } = pick(tree.all);
    const bytesOf = ({ start, end }) => data.subarray(start, end);
    const edits = new Map();
    const isMap = parent?.kind === 'cbor' && parent.tag >> 5 === 5;
    const mate = isMap ? siblings[index ^ 1] : null;
    switch (random(8)) {
      case 0:
        for (const gone of mate ? [node, mate] : [node]) edits.set(gone, []);
        break;
      case 1:
        edits.set(node, [bytesOf(node), bytesOf(node)]);
        if (mate) edits.set(mate, [bytesOf(mate), bytesOf(mate)]);
        break;
      case 2: {
        const other = pick(corpus);
        const from = treeOf(other);
        if (!from) return null;
        const { node: donor } = pick(from.all);
        edits.set(node, [other.data.subarray(donor.start, donor.end)]);
        break;
      }
      case 3: {
        const sibling = pick(siblings);
        edits.set(node, [bytesOf(sibling)]);
        edits.set(sibling, [bytesOf(node)]);
        break;
      }
      case 4:
        if (node.body === node.end) return null;
        edits.set(node, [changeContents(data, node)]);
        break;
      case 5:
        edits.set(node, [pick(node.kind === 'der' ? DER_ITEMS : CBOR_ITEMS)]);
        break;
      case 6:
        edits.set(node, [badHead(data, node)]);
        break;
      default:
        edits.set(node, [nested(bytesOf(node), node.kind)]);
    }
    return rebuild(data, tree.roots, edits);
  }

  /** @param {{ data: Uint8Array }[]} corpus the newest last; half of all picks are among the newest quarter */
  return function mutate(corpus) {
    const newest = corpus.length >> 2;
    const entry = random(2) && newest > 0 ? corpus[corpus.length - 1 - random(newest)] : pick(corpus);
    let data = (random(2) ? changeItem(entry, corpus) : null) ?? entry.data;
    if (data === entry.data || random(4) === 0) {
      const text = isText(data);
      for (let times = 1 + random(4); times > 0; times--) {
        data = text && random(2) ? changeText(data) : changeBytes(data, corpus);
      }
    }
    return new Uint8Array(data.subarray(0, MAX_BYTES));
  };
}
