import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { draftPolicyFor, type Served, serve, temporaryFolder, veritee } from '../support/cli.ts';
import { ROOT } from '../support/shared.ts';

describe('the whole path on a simulated Nitro platform', () => {
  const { folder, remove } = temporaryFolder();
  const input = path.join(folder, 'input.json');
  const receipt = path.join(folder, 'answer.veritee');
  let served: Served;
  let policy: string;

  beforeAll(async () => {
    served = await serve(path.join(folder, 'data'), ['--platform', 'simulated-nitro', '--allow-plaintext']);
    policy = await draftPolicyFor(served, 'simulated-nitro');
  });
  afterAll(async () => {
    expect(await served?.stop()).toBe(0);
    remove();
  });

  test('it says aloud that it is simulated, and left a root to name', () => {
    expect(served.log()).toContain('NOT a Nitro enclave');
    expect(existsSync(path.join(served.data, 'simulated-nitro-root.pem'))).toBe(true);
    const draft = JSON.parse(readFileSync(policy, 'utf8'));
    expect(draft).toMatchObject({
      sevSnp: 'refuse',
      nitro: { debug: 'forbid', referenceValues: [{ pcr0: expect.stringMatching(/^[0-9a-f]{96}$/) }] },
      anchors: [{ platform: 'simulated-nitro' }],
    });
  });

  test('no default trusts it', async () => {
    const attestation = path.join(served.data, 'test-attestation.cbor');
    const ran = await veritee(['verify', attestation, '--policy', 'builtin:authenticity', '--json']);
    expect(ran.status).toBe(1);
    expect(JSON.parse(ran.stdout).findings.map(({ code }: { code: string }) => code)).toEqual(['CHAIN_UNTRUSTED']);
  });

  test('an answer is hardware-committed, and its receipt verifies offline', async () => {
    const readings = { name: 'readings', datatype: 'FP32', shape: [1, 7], data: [30, 60, 2, 750, 415, 1, 0] };
    writeFileSync(input, JSON.stringify({ inputs: [readings] }));
    const ran = await veritee([
      'infer',
      ...['--url', served.url, '--model', 'heat-stress', '--input', input, '--policy', policy],
      ...['--wait-for', 'hardware', '--receipt-out', receipt, '--json'],
    ]);
    expect(ran.status, ran.stderr).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      verdict: 'affirming',
      strength: 'hardware-committed',
      platform: 'simulated-nitro',
    });

    const { responseSalt } = JSON.parse(readFileSync(`${receipt}.private.json`, 'utf8'));
    const given = ['--policy', policy, '--response', `${receipt}.response`, '--response-salt', responseSalt, '--json'];
    const verified = await veritee(['verify', receipt, ...given]);
    expect(verified.status, verified.stdout).toBe(0);
    const result = JSON.parse(verified.stdout);
    expect(result).toMatchObject({ verdict: 'affirming', strength: 'hardware-committed', timeSource: 'evidence' });
    expect(result.validAt).toBe(result.claims.timestamp);
    expect(result.existedBy).toBe(result.claims.timestamp);

    // A kept receipt outlives the leaf's three hours.
    const later = await veritee(['verify', receipt, ...given, '--at', '2040-01-01T00:00:00Z']);
    expect(later.status, later.stdout).toBe(0);
  });

  test('and not under another program’s registers', async () => {
    const draft = JSON.parse(readFileSync(policy, 'utf8'));
    draft.nitro.referenceValues[0].pcr0 = 'aa'.repeat(48);
    const other = path.join(folder, 'other.json');
    writeFileSync(other, JSON.stringify(draft));
    const ran = await veritee(['verify', receipt, '--policy', other, '--json']);
    expect(ran.status).toBe(1);
    const codes = JSON.parse(ran.stdout).findings.map(({ code }: { code: string }) => code);
    expect(codes).toEqual(['MEASUREMENT_UNKNOWN']);
  });
});

test('the demo runs on it as well', async () => {
  const { folder, remove } = temporaryFolder();
  const ran = await veritee(['demo', '--platform', 'simulated-nitro', '--keep', folder], { cwd: ROOT });
  expect(ran.status, ran.stdout + ran.stderr).toBe(0);
  expect(ran.stdout.trimEnd().split('\n').at(-1)).toBe('demo: ok');
  expect(ran.stdout).toContain('a software Nitro hypervisor');
  expect(ran.stdout).not.toContain('✗');
  const policy = ['--policy', path.join(folder, 'policy.json')];
  expect((await veritee(['verify', path.join(folder, 'answer.veritee'), ...policy])).status).toBe(0);
  expect((await veritee(['verify', path.join(folder, 'forged.veritee'), ...policy])).status).not.toBe(0);
  remove();
});

test('an unknown platform is a mistake in the call', async () => {
  const ran = await veritee(['demo', '--platform', 'sgx']);
  expect(ran.status).toBe(2);
  expect(ran.stderr).toContain('--platform');
});
