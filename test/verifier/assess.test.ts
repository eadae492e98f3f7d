import { expect, test } from 'vitest';
import { assess, toJson } from '../../verifier/index.ts';
import { AT, anchorsOf, MiniEnclave } from '../support/mini-enclave.ts';

test('x', async () => {
  const enclave = new MiniEnclave();
  for (let i = 0; i < 5; i++) await enclave.infer();
  const answer = await enclave.infer();
  const tick = await enclave.tick();
  const trustAnchors = await anchorsOf(tick);
  const file = enclave.receipt(answer, tick);
  const result = await assess({ file, policy: 'builtin:authenticity', at: AT, trustAnchors });
  console.log(JSON.stringify(toJson(result), null, 1), file.length);
  const t = performance.now();
  for (let i = 0; i < 100; i++) await assess({ file, policy: 'builtin:authenticity', at: AT, trustAnchors });
  console.log((performance.now() - t) / 100, 'ms');
  expect(result.verdict).toBe('affirming');
});
