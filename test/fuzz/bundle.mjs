// The targets in one file whose every statement, branch and function counts itself in a flat array of bytes. V8's own
// coverage would keep the code from being optimised; these counters leave it as fast as it is.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { createInstrumenter } from 'istanbul-lib-instrument';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Content octets of an OBJECT IDENTIFIER (X.690 §8.19). */
function oid(dotted) {
  const [first, second, ...rest] = dotted.split('.').map(Number);
  return Buffer.from(
    [first * 40 + second, ...rest].flatMap((arc) => {
      const groups = [arc & 0x7f];
      for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
        groups.unshift(0x80 | (left & 0x7f));
      return groups;
    }),
  );
}

/** What our own sources compare with: strings, object identifiers, hex, numbers of two and four bytes. */
function dictionary(text) {
  const parts = text.split(/^\/\/ (\S+\.[jt]s)$/m);
  const own = parts.filter((_, i) => i > 0 && i % 2 === 0 && !parts[i - 1].includes('node_modules')).join('');
  const words = new Set();
  for (const [, word] of own.matchAll(/"([^"\\\n]{1,60})"/g)) {
    words.add(Buffer.from(word).toString('hex'));
    if (/^[0-2](\.\d+){3,}$/.test(word)) words.add(oid(word).toString('hex'));
    if (/^([0-9a-f]{2}){2,}$/.test(word)) words.add(word);
  }
  for (const [number] of own.matchAll(/\b\d{3,10}\b/g)) {
    const field = Buffer.alloc(8);
    field.writeBigUInt64LE(BigInt(number));
    const bytes = field.subarray(0, Number(number) < 0x10000 ? 2 : 4);
    words.add(bytes.toString('hex')).add(Buffer.from(bytes).reverse().toString('hex'));
  }
  return [...words];
}

/** Instrumented code finds its counters here, one saturating byte each. */
export const COUNTERS = 'veriteeFuzzCounters';

/**
 * @param {string} outfile
 * @returns {Promise<{ counters: number, words: string[] }>} how many counters; words to try, in hex
 */
export async function bundleTargets(outfile) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['test/fuzz/targets.ts'],
    bundle: true,
    format: 'esm',
    platform: 'node',
    conditions: ['veritee-source'],
    write: false,
    logLevel: 'error',
  });
  const { text } = outputFiles[0];
  const instrumented = createInstrumenter({ esModules: true, compact: false }).instrumentSync(text, 'targets.mjs');
  const places = new Map();
  const flat = instrumented.replace(/\bcov_\w+\(\)((?:\.[sf]|\.b\[\d+\])\[\d+\])\+\+/g, (_, place) => {
    if (!places.has(place)) places.set(place, places.size);
    return `${COUNTERS}[${places.get(place)}]++`;
  });
  if (places.size === 0) throw new Error('the instrumented bundle has no counters');
  mkdirSync(dirname(outfile), { recursive: true });
  writeFileSync(outfile, `const ${COUNTERS} = globalThis.${COUNTERS};\n${flat}`);
  return { counters: places.size, words: dictionary(text) };
}
