/** Replays what `npm run fuzz` starts from; an input that it finds fault with becomes a case here once mended. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { CodedError, TARGETS } from './targets.ts';

const seeds: Readonly<Record<string, readonly string[]>> = JSON.parse(
  readFileSync(new URL('seeds.json', import.meta.url), 'utf8'),
);
const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));

describe('every target has seeds, and accepts them', () => {
  test.each(Object.keys(TARGETS))('%s', async (name) => {
    expect(seeds[name]?.length).toBeGreaterThan(0);
    for (const seed of seeds[name] ?? []) await TARGETS[name]?.(fromBase64(seed));
  });
});

describe('every target refuses with a code', () => {
  test.each(Object.keys(TARGETS))('%s: its seeds cut short', async (name) => {
    for (const text of seeds[name] ?? []) {
      const seed = fromBase64(text);
      for (let length = 0; length < seed.length; length += Math.ceil(seed.length / 200)) {
        await refusedOrRead(name, seed.slice(0, length));
      }
    }
  });
});

async function refusedOrRead(name: string, data: Uint8Array): Promise<void> {
  try {
    await TARGETS[name]?.(data);
  } catch (error) {
    expect(error).toBeInstanceOf(CodedError);
  }
}
