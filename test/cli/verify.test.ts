import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeReceipt, parseReceipt } from '../../protocol/files.ts';
import { LAUNCHER, serve, temporaryFolder, veritee } from '../support/cli.ts';
import { sharedFolder } from '../support/shared.ts';
import {
  AUTHENTICITY,
  codesOf,
  EXAMPLE,
  type Files,
  jsonOf,
  makeFiles,
  readBytes,
  refusalOf,
  verdictOf,
} from './support.ts';

const { folder, remove } = temporaryFolder();
let files: Files;
/** Flags under which every file of the service verifies. */
let trusted: readonly string[];

const put = (name: string, content: Uint8Array | string): string => {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
};

// All that is verified here is verified after the service has ended.
beforeAll(async () => {
  const served = await serve(path.join(folder, 'data'), ['--allow-plaintext', '--log-level', 'error']);
  files = await makeFiles(served, folder);
  expect(await served.stop()).toBe(0);
  trusted = [...AUTHENTICITY, '--trust-anchor', files.root];
});
afterAll(remove);

/** design §6 */
const FIXED_FIELDS = ['verdict', 'strength', 'platform', 'findings', 'checks', 'notChecked', 'claims', 'policy', 'at'];

describe.concurrent('exit 0: affirming', () => {
  test('a receipt, with everything its owner knows', async () => {
    const { requestSalt, responseSalt } = files.salts;
    const { status, result } = await verdictOf([
      ...[files.receipt, '--policy', files.policy],
      ...['--request', EXAMPLE, '--request-salt', requestSalt.toUpperCase()],
      ...['--response', `${files.receipt}.response`, '--response-salt', responseSalt],
    ]);
    expect(status).toBe(0);
    expect(Object.keys(result)).toEqual(expect.arrayContaining(FIXED_FIELDS));
    expect(result).toMatchObject({
      verdict: 'affirming',
      strength: 'hardware-committed',
      platform: 'simulated-snp',
      findings: [],
      policy: JSON.parse(readFileSync(files.policy, 'utf8')).id,
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      claims: {
        reportVersion: 5,
        product: 'Genoa',
        measurement: expect.stringMatching(/^[0-9a-f]{96}$/),
        reportData: expect.stringMatching(/^[0-9a-f]{128}$/),
        vmpl: expect.any(Number),
        tcb: { reported: { bootloader: expect.any(Number), snp: expect.any(Number), microcode: expect.any(Number) } },
        model: { name: 'heat-stress', version: '1', digest: expect.stringMatching(/^[0-9a-f]{64}$/) },
        outcome: 'ok',
      },
    });
    expect(result.notChecked.every((text) => /./.test(text))).toBe(true);
    expect(new Set(result.checks.map(({ outcome }) => outcome))).toEqual(new Set(['pass', 'skipped']));
    const passed = result.checks.filter(({ outcome }) => outcome === 'pass').map(({ id }) => id);
    expect(passed).toEqual(expect.arrayContaining(['expected.request', 'expected.response', 'inclusion.path']));
  });

  test.each([
    ['a receipt', () => [files.receipt], 'hardware-committed'],
    ['a receipt from before its tick', () => [files.sessionSigned], 'session-signed'],
    [
      'a receipt whose evidence is supplied',
      () => [files.detached, '--evidence', files.evidence],
      'hardware-committed',
    ],
    ['an attestation', () => [files.attestation], 'hardware-committed'],
    ['an evidence file', () => [files.evidence], 'hardware-committed'],
    ['a raw report with its certificates', () => [files.report, '--endorsement', files.endorsements], null],
    ['a kind that was named', () => [files.receipt, '--kind', 'receipt'], 'hardware-committed'],
    [
      'an earlier policy time, RFC 3339 in full',
      () => [files.receipt, '--at', '2029-02-28t23:59:59.5-08:00'],
      'hardware-committed',
    ],
  ])('%s', async (_what, args, strength) => {
    const { status, result } = await verdictOf([...args(), ...trusted]);
    expect(codesOf(result)).toEqual([]);
    expect({ status, verdict: result.verdict, strength: result.strength, platform: result.platform }).toEqual({
      status: 0,
      verdict: 'affirming',
      strength,
      platform: 'simulated-snp',
    });
  });

  test('for people it says what it is worth', async () => {
    const ran = await veritee(['verify', files.receipt, ...trusted]);
    expect(ran.status).toBe(0);
    expect(ran.stdout).toMatch(/^✓ affirming, hardware-committed, platform simulated-snp\n/);
    expect(ran.stdout).toContain('SIMULATED PLATFORM');
    expect(ran.stdout).toContain('Not checked');
  });

  test('a reader that goes away early changes nothing', async () => {
    const child = spawn(process.execPath, [LAUNCHER, 'verify', files.receipt, ...trusted, '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const status = await new Promise((resolve) => child.once('close', resolve));
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
});

describe.concurrent('exit 1: contraindicated', () => {
  const changed = (file: string, name: string, change: (content: Uint8Array) => Uint8Array) =>
    put(name, change(readBytes(file)));
  const flip = (content: Uint8Array): Uint8Array => {
    content[content.length >> 1]! ^= 1;
    return content;
  };
  const cut = (content: Uint8Array): Uint8Array => content.subarray(0, -1);

  test.each<[string, () => readonly string[], string]>([
    ['no anchor trusts it', () => [files.receipt, ...AUTHENTICITY], 'CHAIN_UNTRUSTED'],
    ['a receipt cut short', () => [changed(files.receipt, 'cut.veritee', cut), ...trusted], 'EVIDENCE_MALFORMED'],
    ['an attestation cut short', () => [changed(files.attestation, 'cut.cbor', cut), ...trusted], 'EVIDENCE_MALFORMED'],
    ['a report cut short', () => [changed(files.report, 'cut.bin', cut), ...trusted], 'EVIDENCE_MALFORMED'],
    ['a receipt called a report', () => [files.receipt, '--kind', 'snp-report', ...trusted], 'EVIDENCE_MALFORMED'],
    ['a report without its certificate', () => [files.report, ...trusted], 'ENDORSEMENT_MISSING'],
    ['evidence that is not supplied', () => [files.detached, ...trusted], 'EVIDENCE_MISSING'],
    ['another nonce', () => [files.receipt, '--nonce', '00'.repeat(32), ...trusted], 'NONCE_MISMATCH'],
    [
      'another request',
      () => [files.receipt, '--request', files.policy, '--request-salt', files.salts.requestSalt, ...trusted],
      'REQUEST_MISMATCH',
    ],
    [
      'a salt of the other side',
      () => [
        files.receipt,
        '--response',
        `${files.receipt}.response`,
        '--response-salt',
        files.salts.requestSalt,
        ...trusted,
      ],
      'RESPONSE_MISMATCH',
    ],
    [
      'a time before the certificates',
      () => [files.receipt, '--at', '2001-01-01T00:00:00Z', ...trusted],
      'CERTIFICATE_NOT_YET_VALID',
    ],
  ])('%s', async (_what, args, code) => {
    const { status, result } = await verdictOf(args());
    expect(codesOf(result)).toEqual([code]);
    expect(status).toBe(1);
    expect(result.verdict).toBe('contraindicated');
    expect(Object.keys(result)).toEqual(expect.arrayContaining(FIXED_FIELDS));
    expect(result.checks.filter(({ outcome }) => outcome === 'fail')).toHaveLength(1);
  });

  test('a changed byte in the middle', async () => {
    const { status, result } = await verdictOf([changed(files.receipt, 'forged.veritee', flip), ...trusted]);
    expect(status).toBe(1);
    expect(codesOf(result)).not.toEqual([]);
  });

  test('a path left out of a receipt whose evidence covers it is no weaker yes', async () => {
    const { statement, evidence } = parseReceipt(readBytes(files.receipt));
    const pathless = put('pathless.veritee', encodeReceipt({ statement, path: null, evidence }));
    const { status, result } = await verdictOf([pathless, ...trusted]);
    expect([status, ...codesOf(result)]).toEqual([1, 'INCLUSION_MISSING']);
  });

  test('a policy that asks for more than there is', async () => {
    const policy = JSON.parse(readFileSync(files.policy, 'utf8'));
    const stronger = put('stronger.json', JSON.stringify({ ...policy, strength: 'hardware-committed' }));
    const { status, result } = await verdictOf([files.sessionSigned, '--policy', stronger]);
    expect([status, ...codesOf(result)]).toEqual([1, 'STRENGTH_INSUFFICIENT']);
    const { sevSnp } = policy;
    const [value] = sevSnp.referenceValues;
    const other = { ...sevSnp, referenceValues: [{ ...value, measurement: '5a'.repeat(48) }] };
    const another = put('another.json', JSON.stringify({ ...policy, sevSnp: other }));
    const unknown = await verdictOf([files.receipt, '--policy', another]);
    expect([unknown.status, ...codesOf(unknown.result)]).toEqual([1, 'MEASUREMENT_UNKNOWN']);
    const human = await veritee(['verify', files.receipt, '--policy', another]);
    expect(human.status).toBe(1);
    expect(human.stdout).toMatch(/^✗ contraindicated/);
    expect(human.stdout).toContain('MEASUREMENT_UNKNOWN');
  });
});

describe.concurrent('exit 2: the call itself', () => {
  const policyWith = (change: (policy: Record<string, unknown>) => unknown) => {
    const policy = JSON.parse(readFileSync(files.policy, 'utf8'));
    return put('changed-policy.json', JSON.stringify(change(policy)));
  };

  test.each<[string, () => readonly string[], string]>([
    ['no policy', () => [files.receipt], 'USAGE'],
    ['no file', () => [...trusted], 'USAGE'],
    ['two files', () => [files.receipt, files.receipt, ...trusted], 'USAGE'],
    ['an unknown flag', () => [files.receipt, '--polcy', 'x'], 'USAGE'],
    ['an unknown built-in policy', () => [files.receipt, '--policy', 'builtin:anything'], 'USAGE'],
    ['a kind that this release does not read', () => [files.receipt, '--kind', 'tdx-quote', ...trusted], 'USAGE'],
    ['a file that is not there', () => [path.join(folder, 'nothing'), ...trusted], 'FILE_UNREADABLE'],
    ['a folder', () => [folder, ...trusted], 'FILE_UNREADABLE'],
    ['a policy that is not there', () => [files.receipt, '--policy', path.join(folder, 'nothing')], 'FILE_UNREADABLE'],
    ['a policy that is not JSON', () => [files.receipt, '--policy', files.root], 'POLICY_INVALID'],
    ['a policy that is another JSON', () => [files.receipt, '--policy', EXAMPLE], 'POLICY_INVALID'],
    [
      'an incomplete policy',
      () => [files.receipt, '--policy', policyWith(({ freshness: _, ...rest }) => rest)],
      'POLICY_INVALID',
    ],
    [
      'a policy with a word nobody knows',
      () => [files.receipt, '--policy', policyWith((policy) => ({ ...policy, strength: 'strong' }))],
      'POLICY_INVALID',
    ],
    [
      'a policy that says one thing twice',
      () => {
        const text = readFileSync(files.policy, 'utf8').replace('{', '{"strength":"hardware-committed",');
        return [files.receipt, '--policy', put('twice.json', text)];
      },
      'POLICY_INVALID',
    ],
    [
      'an anchor that is no certificate',
      () => [files.receipt, ...AUTHENTICITY, '--trust-anchor', EXAMPLE],
      'TRUST_ANCHOR_INVALID',
    ],
    [
      'an anchor that is no root',
      () => [files.receipt, ...AUTHENTICITY, '--trust-anchor', files.endorsements],
      'TRUST_ANCHOR_INVALID',
    ],
    [
      'an anchor that is not there',
      () => [files.receipt, ...AUTHENTICITY, '--trust-anchor', 'nothing.pem'],
      'FILE_UNREADABLE',
    ],
    [
      'an endorsement that is no certificate',
      () => [files.report, ...trusted, '--endorsement', EXAMPLE],
      'ENDORSEMENT_MALFORMED',
    ],
    [
      'an endorsement whose PEM holds something else',
      () => {
        const text = `-----BEGIN CERTIFICATE-----\n${Buffer.from(`0\x80${'x'.repeat(200)}`, 'latin1').toString('base64')}\n-----END CERTIFICATE-----\n`;
        return [files.report, ...trusted, '--endorsement', put('hollow.pem', text)];
      },
      'ENDORSEMENT_MALFORMED',
    ],
    ['a CRL that is none', () => [files.receipt, ...trusted, '--crl', EXAMPLE], 'CRL_INVALID'],
    ['a CRL that is a certificate', () => [files.receipt, ...trusted, '--crl', files.root], 'CRL_INVALID'],
    ['a time in words', () => [files.receipt, ...trusted, '--at', 'yesterday'], 'USAGE'],
    ['a time without its zone', () => [files.receipt, ...trusted, '--at', '2026-01-15T00:00:00'], 'USAGE'],
    ['a day that is not in the calendar', () => [files.receipt, ...trusted, '--at', '2026-02-30T00:00:00Z'], 'USAGE'],
    ['an hour that is not on the clock', () => [files.receipt, ...trusted, '--at', '2026-01-15T24:00:00Z'], 'USAGE'],
    ['a nonce that is not hexadecimal', () => [files.receipt, ...trusted, '--nonce', 'xyz'], 'USAGE'],
    ['a nonce that is too short', () => [files.receipt, ...trusted, '--nonce', 'abcd'], 'USAGE'],
    ['a request without its salt', () => [files.receipt, ...trusted, '--request', EXAMPLE], 'USAGE'],
    ['a salt without its response', () => [files.receipt, ...trusted, '--response-salt', '00'.repeat(32)], 'USAGE'],
    [
      'a salt of another length',
      () => [files.receipt, ...trusted, '--request', EXAMPLE, '--request-salt', '00'.repeat(31)],
      'USAGE',
    ],
  ])('%s', async (_what, args, code) => {
    expect(await refusalOf(['verify', ...args()])).toEqual({ status: 2, code });
  });

  test('for people it says so on stderr alone', async () => {
    const ran = await veritee(['verify', files.receipt]);
    expect(ran).toMatchObject({ status: 2, stdout: '' });
    expect(ran.stderr).toContain('USAGE: --policy');
    expect(await veritee(['nosuch'])).toMatchObject({ status: 2, stdout: '' });
    expect(await veritee([])).toMatchObject({ status: 2, stdout: '' });
  });
});

describe.concurrent('exit 4: unsupported', () => {
  test.each<[string, () => string]>([
    ['an empty file', () => put('empty', '')],
    ['a text', () => EXAMPLE],
    ['random bytes', () => put('random', crypto.getRandomValues(new Uint8Array(3000)).fill(0xff, 0, 4))],
    [
      'a report version of the future',
      () => {
        const report = readBytes(files.report);
        report[0] = 15;
        return put('future.bin', report);
      },
    ],
  ])('%s', async (_what, file) => {
    const { status, result } = await verdictOf([file(), ...trusted]);
    expect([status, result.verdict, ...codesOf(result)]).toEqual([4, 'unsupported', 'EVIDENCE_UNSUPPORTED']);
    expect(Object.keys(result)).toEqual(expect.arrayContaining(FIXED_FIELDS));
    expect(result).toMatchObject({ strength: null, platform: null });
  });
});

describe.concurrent('inspect', () => {
  test('shows a receipt and says that it is unverified', async () => {
    const ran = await veritee(['inspect', files.receipt]);
    expect(ran.status).toBe(0);
    expect(ran.stderr).toContain('UNVERIFIED');
    expect(JSON.parse(ran.stdout)).toHaveProperty('statement');
  });

  test.each<[string, () => string]>([
    ['receipt', () => files.receipt],
    ['attestation', () => files.attestation],
    ['evidence', () => files.evidence],
    ['snp-report', () => files.report],
  ])('%s as one JSON object that calls its content unverified', async (kind, file) => {
    const ran = await veritee(['inspect', file(), '--json']);
    expect(ran).toMatchObject({ status: 0, stderr: '' });
    const shown = jsonOf(ran);
    expect(Object.keys(shown)).toEqual(['kind', 'unverified']);
    expect(shown['kind']).toBe(kind);
  });

  test('what it cannot read', async () => {
    expect(await refusalOf(['inspect', EXAMPLE])).toEqual({ status: 4, code: 'EVIDENCE_UNSUPPORTED' });
    expect(await refusalOf(['inspect', path.join(folder, 'nothing')])).toEqual({ status: 2, code: 'FILE_UNREADABLE' });
    const cut = put('cut-receipt', readBytes(files.receipt).subarray(0, -1));
    expect(await refusalOf(['inspect', cut])).toEqual({ status: 1, code: 'EVIDENCE_MALFORMED' });
  });
});

describe.concurrent('policy', () => {
  test.each<[string, () => readonly string[]]>([
    ['a receipt', () => [files.receipt]],
    ['an attestation', () => [files.attestation]],
    ['an evidence file', () => [files.evidence]],
    ['a raw report', () => [files.report, '--endorsement', files.endorsements]],
  ])('a draft from %s accepts it, with its anchors inside', async (what, args) => {
    const drafted = await veritee(['policy', 'init', ...args(), '--trust-anchor', files.root]);
    expect(drafted.status, drafted.stderr).toBe(0);
    const draft = jsonOf(drafted);
    expect(draft['anchors']).toMatchObject([{ platform: 'simulated-snp', fingerprint: expect.any(String) }]);
    expect(draft['$comment']).toEqual(expect.any(String));
    const file = put(`${what}.json`, drafted.stdout);
    const { status, result } = await verdictOf([...args(), '--policy', file]);
    expect([status, ...codesOf(result)]).toEqual([0]);
    const checked = await veritee(['policy', 'check', file, '--json']);
    expect(checked.status).toBe(0);
    expect(jsonOf(checked)).toMatchObject({
      id: draft['id'],
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      complete: true,
    });
  });

  test('a file that does not verify gives no policy', async () => {
    const refused = await veritee(['policy', 'init', files.receipt]);
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toContain('CHAIN_UNTRUSTED');
    expect(await veritee(['policy', 'init', EXAMPLE])).toMatchObject({ status: 4, stdout: '' });
    expect(await veritee(['policy', 'init', path.join(folder, 'nothing')])).toMatchObject({ status: 2, stdout: '' });
    expect(await veritee(['policy', 'init', files.report, '--trust-anchor', files.root])).toMatchObject({
      status: 1,
      stdout: '',
    });
  });

  test('check', async () => {
    const checked = await veritee(['policy', 'check', files.policy]);
    expect(checked.status).toBe(0);
    expect(checked.stdout).toContain('complete');
    expect(await refusalOf(['policy', 'check', EXAMPLE])).toEqual({ status: 2, code: 'POLICY_INVALID' });
    expect(await refusalOf(['policy', 'check', path.join(folder, 'no.json')])).toEqual({
      status: 2,
      code: 'FILE_UNREADABLE',
    });
  });
});

const digits = sharedFolder('model-data', 'mnist', 'test_data_set_0');

describe('tensors', () => {
  test.skipIf(!digits)('turns an ONNX tensor into a request', async () => {
    const ran = await veritee(['tensors', `Input3=${path.join(digits as string, 'input_0.pb')}`]);
    expect(ran.status, ran.stderr).toBe(0);
    const request = JSON.parse(ran.stdout);
    expect(request.inputs).toMatchObject([{ name: 'Input3', datatype: 'FP32', shape: [1, 1, 28, 28] }]);
    expect(request.inputs[0].data).toHaveLength(784);
  });

  test('refuses what is none', async () => {
    const refusals: [string, string][] = [
      ['x=nothing.pb', 'FILE_UNREADABLE'],
      [`x=${EXAMPLE}`, 'FILE_UNREADABLE'],
      [EXAMPLE, 'USAGE'],
    ];
    for (const [argument, code] of refusals) {
      const ran = await veritee(['tensors', argument]);
      expect(ran).toMatchObject({ status: 2, stdout: '' });
      expect(ran.stderr).toContain(code);
    }
  });
});

const snp = sharedFolder('evidence', 'snp');

describe.skipIf(!snp).concurrent('real SEV-SNP evidence', () => {
  const real = (...parts: string[]) => path.join(snp as string, ...parts);
  const given = (id: string, ...certificates: string[]) => [
    real(id, 'report.bin'),
    ...certificates.flatMap((name) => ['--endorsement', real(id, name)]),
    ...AUTHENTICITY,
  ];
  const at = (time: string) => ['--at', time];

  const caseOf = (id: string) =>
    JSON.parse(readFileSync(real('index.json'), 'utf8')).cases.find((one: { id: string }) => one.id === id);
  const midOf = ({ validFrom, validTo }: { validFrom: string; validTo: string }) =>
    new Date((Date.parse(validFrom) + Date.parse(validTo)) / 2).toISOString();

  test.each(['genoa-v3-tinfoil', 'milan-v2-gosevguest', 'milan-vlek-v3-trustee-vmpl1', 'turin-v5-azure-mstav'])(
    '%s is genuine under the built-in roots',
    async (id) => {
      const { product, reportVersion, files: names, facts, ...one } = caseOf(id);
      const { status, result } = await verdictOf([...given(id, names.signerCert), ...at(midOf(one))]);
      expect([status, ...codesOf(result)]).toEqual([0]);
      expect(result).toMatchObject({
        verdict: 'affirming',
        strength: null,
        platform: 'snp',
        policy: 'builtin:authenticity',
      });
      expect(result.claims).toMatchObject({ reportVersion, product, vmpl: facts.vmpl });
      for (const topic of ['debug', 'measurement', 'tcb', 'smt', 'migration'])
        expect(result.notChecked.join('\n').toLowerCase()).toContain(topic);
    },
  );

  test('what is missing, old, foreign or revoked', async () => {
    const id = 'genoa-v3-azure-trustee';
    const leaf = caseOf(id).files.signerCert;
    const time = at('2025-06-01T00:00:00Z');
    const outcome = async (args: readonly string[]) => {
      const { status, result } = await verdictOf(args);
      return [status, ...codesOf(result)];
    };
    expect(await outcome([...given(id), ...time])).toEqual([1, 'ENDORSEMENT_MISSING']);
    expect(await outcome([...given(id, leaf), ...at('2001-01-01T00:00:00Z')])).toEqual([
      1,
      'CERTIFICATE_NOT_YET_VALID',
    ]);
    const foreign = [...given(id), '--endorsement', real('genoa-v3-tinfoil', 'vcek.der')];
    expect((await outcome([...foreign, ...time]))[0]).toBe(1);
    const crl = ['--crl', real('crl', 'genoa-2024-openpcc.crl.der')];
    expect(await outcome([...given(id, leaf), ...crl, ...time])).toEqual([0]);
    expect(await outcome([...given(id, leaf), ...crl, ...at('2026-06-01T00:00:00Z')])).toEqual([1, 'CRL_STALE']);
    const revoked = ['--endorsement', real('crl', 'ask-genoa-revoked.pem')];
    expect(await outcome([...given(id, leaf), ...revoked, ...crl, ...time])).toEqual([1, 'CERTIFICATE_REVOKED']);
  });

  test('a policy drafted from a real report trusts AMD and accepts that report', async () => {
    const file = [real('genoa-v3-tinfoil', 'report.bin'), '--endorsement', real('genoa-v3-tinfoil', 'vcek.der')];
    const time = at(midOf(caseOf('genoa-v3-tinfoil')));
    const drafted = await veritee(['policy', 'init', ...file, ...time]);
    expect(drafted.status, drafted.stderr).toBe(0);
    expect(jsonOf(drafted)['anchors']).toMatchObject([{ builtin: 'amd' }]);
    const policy = put('tinfoil.json', drafted.stdout);
    const { status, result } = await verdictOf([...file, ...time, '--policy', policy]);
    expect([status, ...codesOf(result)]).toEqual([0]);
    // The simulated platform gets nothing from a policy for real machines.
    const simulated = await verdictOf([files.receipt, '--policy', policy]);
    expect([simulated.status, ...codesOf(simulated.result)]).toEqual([1, 'CHAIN_UNTRUSTED']);
  });
});
