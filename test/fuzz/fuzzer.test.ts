/** The fuzzer finds what is planted, and its mutations keep the lengths around a change right. */
import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { decodeCbor } from '../../protocol/cbor.ts';
import { parseCertificate } from '../../verifier/x509/certificate.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fuzzer-'));
afterAll(() => rmSync(folder, { recursive: true }));

const bundle = path.join(folder, 'targets.mjs');
writeFileSync(
  bundle,
  `const hit = globalThis.veriteeFuzzCounters;
  export class CodedError extends Error {}
  export const TARGETS = {
    twoSteps(data) {
      if (data[0] !== 0x56) throw new CodedError();
      hit[1]++;
      if (data[1] !== 0x45) throw new CodedError();
      throw new TypeError('planted');
    },
    sound(data) {
      if (data.length > 2) throw new CodedError();
    },
    greedy(data) {
      if (data[0] === 0x56) new Uint8Array(2 ** 30);
    },
    slow(data) {
      const end = Date.now() + (data[0] === 0x56 ? 300 : 0);
      while (Date.now() < end);
    },
  };`,
);

interface Message {
  readonly type: 'finding' | 'progress' | 'end';
  readonly fault?: string;
  readonly data?: string;
  readonly findings?: number;
}

function run(target: string, seed = 'AAA', runs = 20_000): Promise<readonly Message[]> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL('loop.mjs', import.meta.url)));
    const messages: Message[] = [];
    child.on('message', (message: Message) => messages.push(message));
    child.on('error', reject);
    child.on('exit', () => resolve(messages));
    const seeds = [Buffer.from(seed).toString('base64')];
    const limits = { runs, seconds: 60, seed: 7 };
    child.send({ bundle, target, counters: 4, words: ['5645'], seeds, ...limits, trace: null });
  });
}

describe('the loop', () => {
  test('finds an uncoded exception behind two steps, and makes its input small', async () => {
    const messages = await run('twoSteps');
    const found = messages.filter(({ type }) => type === 'finding');
    expect(found).toHaveLength(1);
    expect(found[0]?.fault).toMatch(/^TypeError: planted/);
    expect(Buffer.from(found[0]?.data ?? '', 'base64').toString()).toBe('VE');
  });

  test.each([
    ['greedy', 'AAA', 20_000, /asked for 1073741824 bytes/],
    ['slow', 'VAA', 4, /took more than 250 ms/],
  ])('finds a %s target', async (target, seed, runs, fault) => {
    const found = (await run(target, seed, runs)).filter(({ type }) => type === 'finding');
    expect(found).toHaveLength(1);
    expect(found[0]?.fault).toMatch(fault);
    expect(Buffer.from(found[0]?.data ?? '', 'base64').toString()).toBe('V');
  });

  test('finds nothing in a sound one', async () => {
    expect((await run('sound')).at(-1)).toMatchObject({ type: 'end', runs: 20_000, findings: 0 });
  });
});

interface Node {
  readonly kind: 'cbor' | 'der';
  readonly tag: number;
  readonly start: number;
  readonly end: number;
  readonly children: readonly Node[];
}
// Plain JavaScript, like the loop, which runs without a build.
const { structure, rebuild } = (await import(new URL('structure.mjs', import.meta.url).href)) as {
  structure: (data: Uint8Array) => Node[] | null;
  rebuild: (data: Uint8Array, roots: readonly Node[], edits: Map<Node, Uint8Array[]>) => Buffer;
};

describe('the structure of an input', () => {
  const seeds: Readonly<Record<string, readonly string[]>> = JSON.parse(
    readFileSync(new URL('seeds.json', import.meta.url), 'utf8'),
  );
  const seed = (name: string): Uint8Array => new Uint8Array(Buffer.from(seeds[name]?.[0] ?? '', 'base64'));
  const treeOf = (data: Uint8Array): Node[] => {
    const roots = structure(data);
    if (!roots) throw new Error('no structure');
    return roots;
  };
  const part = (data: Uint8Array, { start, end }: Node): Uint8Array => data.subarray(start, end);
  const all = (nodes: readonly Node[]): Node[] => nodes.flatMap((node) => [node, ...all(node.children)]);

  test.each(['evidence', 'receipt', 'certificate', 'crl', 'assess'])('%s: written back it is the same', (name) => {
    const data = seed(name);
    const roots = treeOf(data);
    const edits = new Map(
      all(roots).flatMap((node) => (node.children.length === 0 ? [[node, [part(data, node)]]] : [])),
    );
    expect(Buffer.from(rebuild(data, roots, edits)).equals(data)).toBe(true);
  });

  test('CBOR: a longer item within a byte string leaves canonical CBOR', () => {
    const data = seed('receipt');
    const roots = treeOf(data);
    const deep = all(roots)
      .filter(({ tag, children }) => tag >> 5 === 3 && children.length === 0)
      .at(-1);
    if (!deep) throw new Error('no text');
    const text = Buffer.concat([Buffer.of(0x78, 100), Buffer.alloc(100, 0x61)]);
    expect(() => decodeCbor(new Uint8Array(rebuild(data, roots, new Map([[deep, [text]]]))), 'mutated')).not.toThrow();
  });

  test('DER: a longer serial number leaves a certificate', () => {
    const data = seed('certificate');
    const roots = treeOf(data);
    const serial = roots[0]?.children[0]?.children[1]; // behind the version
    if (serial?.tag !== 0x02) throw new Error('no serial number');
    const longer = Buffer.of(0x02, 4, 1, 2, 3, 4);
    const mutated = new Uint8Array(rebuild(data, roots, new Map([[serial, [longer]]])));
    expect(parseCertificate(mutated, 'mutated').serial).toBe(0x01020304n);
  });
});
