import { X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { pem, type SimulatedAmdSp } from '../../attestation-fixtures/index.ts';
import { type EndorsementsFetchOptions, fetchEndorsements } from '../../cli/commands/endorsements.ts';
import { exitOfError } from '../../cli/exit.ts';
import { run } from '../../cli/program.ts';
import { bytes } from '../../protocol/bytes.ts';
import { temporaryFolder } from '../support/cli.ts';
import { answer, chipUnderSharedRoot, FakeKds } from '../support/fake-kds.ts';
import { sharedFolder } from '../support/shared.ts';

const DAY = 86_400_000;
const { folder, remove } = temporaryFolder();
const guest = {
  reportData: bytes(new Uint8Array(64).fill(1), 64, 'REPORT_DATA'),
  measurement: bytes(new Uint8Array(48).fill(2), 48, 'MEASUREMENT'),
};

let kds: FakeKds;
let other: SimulatedAmdSp;
let report: string;
let root: string;
let turn = 0;
let stdout: string;
let stderr: string;
let slept: number[];

beforeAll(async () => {
  kds = await new FakeKds(await chipUnderSharedRoot(5)).start();
  other = await chipUnderSharedRoot(5);
  report = put('report.bin', kds.chip.report(guest));
  root = put('root.pem', pem(kds.chip.certificates.ark));
});
afterAll(async () => {
  await kds.stop();
  remove();
});
beforeEach(() => {
  kds.requests.length = 0;
  kds.next.length = 0;
  kds.always = null;
  kds.crl = kds.makeCrl(Date.now() - DAY);
  turn++;
  stdout = '';
  stderr = '';
  slept = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr += text;
    return true;
  });
});
afterEach(() => void vi.restoreAllMocks());

function put(name: string, content: Uint8Array | string): string {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
}
const out = () => path.join(folder, `out-${turn}`);
const cache = () => path.join(folder, `cache-${turn}`);
const cached = () =>
  existsSync(cache())
    ? readdirSync(cache(), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.json') && name !== 'pace.json')
        .map((name) => path.basename(name))
        .sort()
    : [];

const parts = { sleep: async (ms: number) => void slept.push(ms), limits: { vcekIntervalMs: 0, totalMs: 1e9 } };

/** Exit status and, when it failed, the code. */
async function fetched(
  file = report,
  options: Partial<EndorsementsFetchOptions> = {},
): Promise<readonly [status: number, code?: string]> {
  const given = { out: out(), cache: cache(), kds: kds.url, trustAnchor: [root], json: false, ...options };
  try {
    return [await fetchEndorsements(file, given, parts)];
  } catch (error) {
    return [exitOfError(error), (error as { code: string }).code];
  }
}

test('fetches, verifies, writes, keeps, and says the line that verifies', async () => {
  const args = ['--out', out(), '--cache', cache(), '--kds', kds.url, '--trust-anchor', root, '--json'];
  expect(await run(['endorsements', 'fetch', report, ...args])).toBe(0);
  const { files, verify } = JSON.parse(stdout);
  expect(readdirSync(out()).sort()).toEqual(['ask.pem', 'chain.pem', 'crl.der', 'vcek.der']);
  expect(Buffer.from(readFileSync(files.leaf)).equals(kds.chip.certificates.vcek)).toBe(true);
  expect(readFileSync(files.chain, 'utf8')).toBe(kds.chain);
  expect(new X509Certificate(readFileSync(files.intermediate)).subject).toContain('CN=SEV-Genoa');
  expect(readFileSync(files.intermediate, 'utf8').match(/BEGIN/g)).toHaveLength(1);
  expect(Buffer.from(readFileSync(files.crl)).equals(kds.crl)).toBe(true);
  expect(statSync(files.leaf).mode & 0o777).toBe(0o600);
  expect(cached()).toHaveLength(3);

  stdout = '';
  const [program, ...line] = verify.split(' ');
  expect(program).toBe('veritee');
  expect(await run([...line, '--json'])).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    verdict: 'affirming',
    claims: { crl: { thisUpdate: expect.any(String) } },
  });
});

test('a second report of the chip asks nobody, for people', async () => {
  expect(await fetched()).toEqual([0]);
  kds.requests.length = 0;
  const second = put('second.bin', kds.chip.report({ ...guest, reportData: bytes(new Uint8Array(64), 64, 'x') }));
  expect(await fetched(second)).toEqual([0]);
  expect(kds.requests).toEqual([]);
  expect(stdout).toContain(`Now: veritee verify ${second} `);
});

test('a version 2 report does not tell Milan from Genoa: both are asked, in that order', async () => {
  const chip = await chipUnderSharedRoot(2);
  const v2 = await new FakeKds(chip).start();
  try {
    const file = put('v2.bin', chip.report(guest));
    expect(await fetched(file, { kds: v2.url })).toEqual([0]);
    expect(v2.requests.map((url) => url.split('/')[3])).toEqual(['Milan', 'Genoa', 'Genoa', 'Genoa']);
    v2.requests.length = 0;
    turn++;
    expect(await fetched(file, { kds: v2.url, product: 'Genoa' })).toEqual([0]);
    expect(v2.requests).toHaveLength(3);
    expect(await fetched(file, { kds: v2.url, product: 'Turin', cache: `${cache()}-x` })).toEqual([
      1,
      'EVIDENCE_MALFORMED',
    ]);
  } finally {
    await v2.stop();
  }
});

describe('nothing that does not verify is written or kept', () => {
  const lies: [string, () => void, string][] = [
    ['the VCEK of another chip', () => kds.next.push(answer(200, other.certificates.vcek)), 'SIGNATURE_INVALID'],
    [
      'a VCEK with one bit changed',
      () => kds.next.push(answer(200, flipped(kds.chip.certificates.vcek))),
      'CHAIN_UNTRUSTED',
    ],
    ['a web page', () => kds.next.push(answer(200, '<html>')), 'ENDORSEMENT_MALFORMED'],
    ['no VCEK', () => kds.next.push(answer(404)), 'ENDORSEMENT_MISSING'],
    ['a refusal', () => kds.next.push(answer(403)), 'SERVICE_REFUSED'],
    ['a list long expired', () => crlIs(kds.makeCrl(Date.now() - 900 * DAY)), 'CRL_STALE'],
    ['a list with one bit changed', () => crlIs(flipped(kds.crl)), 'CRL_INVALID'],
  ];
  test.each(lies)('%s', async (_what, lie, code) => {
    lie();
    const [status, found] = await fetched();
    expect(status).toBe(1);
    expect(found).toBe(code);
    expect(readdirSync(out())).toEqual([]);
    expect(cached()).toEqual([]);
  });

  function crlIs(crl: Uint8Array): void {
    kds.crl = crl;
  }

  function flipped(der: Uint8Array): Uint8Array {
    const changed = new Uint8Array(der);
    changed[der.length - 20] = (changed[der.length - 20] as number) ^ 1;
    return changed;
  }

  test('a root of the service is compared, never trusted', async () => {
    expect(await fetched(report, { trustAnchor: [] })).toEqual([1, 'CHAIN_UNTRUSTED']);
    expect(cached()).toEqual([]);
  });

  test('a forged report leaves what was kept alone and asks nobody', async () => {
    expect(await fetched()).toEqual([0]);
    kds.requests.length = 0;
    const forged = readFileSync(report);
    forged[0x90] = (forged[0x90] as number) ^ 1;
    expect(await fetched(put('forged.bin', forged))).toEqual([1, 'SIGNATURE_INVALID']);
    expect(cached()).toHaveLength(3);
    expect(kds.requests).toEqual([]);
  });
});

test('a kept CRL that has expired is asked for again, the rest is not', async () => {
  kds.crl = kds.makeCrl(Date.now() - 10 * DAY, 10.0001);
  expect(await fetched()).toEqual([0]);
  kds.crl = kds.makeCrl(Date.now() - DAY);
  kds.requests.length = 0;
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + DAY / 2 });
  try {
    expect(await fetched()).toEqual([0]);
  } finally {
    vi.useRealTimers();
  }
  expect(kds.requests).toEqual(['/vcek/v1/Genoa/crl']);
});

test('a service that is not there is exit 3, after some patience', async () => {
  kds.always = answer(503);
  expect(await fetched()).toEqual([3, 'SERVICE_UNREACHABLE']);
  expect(slept).toHaveLength(5);
  expect(stderr).toContain('to ask for the VCEK of a Genoa: status 503');
});

test('an old list serves when the service is gone, and that is said', async () => {
  expect(await fetched()).toEqual([0]);
  kds.always = answer(503);
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 2 * DAY });
  try {
    expect(await fetched()).toEqual([0]);
  } finally {
    vi.useRealTimers();
  }
  expect(stderr).toContain('served from the cache: SERVICE_UNREACHABLE');
});

test.each<[string, () => Partial<EndorsementsFetchOptions>, () => string, string]>([
  ['a product nobody makes', () => ({ product: 'Rome' }), () => report, 'USAGE'],
  ['a VLEK for a report that a VCEK signed', () => ({ vlek: root }), () => report, 'USAGE'],
  ['a service that is no address', () => ({ kds: 'kds' }), () => report, 'USAGE'],
  ['a report that is not there', () => ({}), () => path.join(folder, 'nothing'), 'FILE_UNREADABLE'],
  ['a file in place of the folder', () => ({ out: report }), () => report, 'FILE_UNWRITABLE'],
  ['a file in place of the cache', () => ({ cache: report }), () => report, 'FILE_UNREADABLE'],
  ['an anchor that is none', () => ({ trustAnchor: [report] }), () => report, 'TRUST_ANCHOR_INVALID'],
])('exit 2: %s', async (_what, options, file, code) => {
  expect(await fetched(file(), options())).toEqual([2, code]);
  expect(kds.requests).toEqual([]);
});

test('what is no report', async () => {
  expect(await fetched(put('short.bin', new Uint8Array(100)))).toEqual([1, 'EVIDENCE_MALFORMED']);
  expect(await fetched(put('future.bin', new Uint8Array(1184).fill(9, 0, 1)))).toEqual([4, 'EVIDENCE_UNSUPPORTED']);
  expect(kds.requests).toEqual([]);
});

const snp = sharedFolder('evidence', 'snp');

describe.skipIf(!snp)('real reports', () => {
  const real = (...names: string[]) => readFileSync(path.join(snp as string, ...names));
  const fileOf = (id: string) => path.join(snp as string, id, 'report.bin');
  const filesOf = (id: string) =>
    JSON.parse(real('index.json').toString()).cases.find((one: { id: string }) => one.id === id).files;

  /** Answers as AMD did at that time. */
  function serve(id: string, crl: string | null, time: string): void {
    const { signerCert, intermediate, root: ark } = filesOf(id);
    kds.always = (res, req) => {
      if (req.url?.includes('cert_chain')) {
        return answer(200, Buffer.concat([real(id, intermediate), Buffer.from('\n'), real(id, ark)]))(res, req);
      }
      if (!req.url?.endsWith('/crl')) return answer(200, real(id, signerCert))(res, req);
      return (crl === null ? answer(404) : answer(200, real('crl', crl)))(res, req);
    };
    vi.useFakeTimers({ toFake: ['Date'], now: new Date(time) });
  }
  afterEach(() => void vi.useRealTimers());

  const address = (product: string, spls: string[], hwIdDigits: number) =>
    new RegExp(`^/vcek/v1/${product}/[0-9a-f]{${hwIdDigits}}\\?${spls.map((name) => `${name}=\\d+`).join('&')}$`);
  const SPLS = ['blSPL', 'teeSPL', 'snpSPL', 'ucodeSPL'];

  test.each([
    ['Milan', 'milan-v3-azure-trustee-v0', 'milan-2025-openpcc.crl.der'],
    ['Genoa', 'genoa-v3-azure-trustee', 'genoa-2024-openpcc.crl.der'],
  ])('%s, with what AMD signed, under the built-in roots', async (product, id, crl) => {
    serve(id, crl, '2025-08-01T00:00:00Z');
    expect(await fetched(fileOf(id), { trustAnchor: [] })).toEqual([0]);
    expect(kds.requests).toEqual([
      expect.stringMatching(address(product, SPLS, 128)),
      `/vcek/v1/${product}/cert_chain`,
      `/vcek/v1/${product}/crl`,
    ]);
    expect(readdirSync(out()).sort()).toEqual(['ask.pem', 'chain.pem', 'crl.der', 'vcek.der']);
  });

  test('Turin is asked for by its eight bytes; no CRL of it is at hand', async () => {
    const id = 'turin-v5-azure-mstav';
    serve(id, null, '2026-08-01T00:00:00Z');
    expect(await fetched(fileOf(id), { trustAnchor: [] })).toEqual([1, 'ENDORSEMENT_MISSING']);
    expect(kds.requests[0]).toMatch(address('Turin', ['fmcSPL', ...SPLS], 16));
    expect(kds.requests.slice(1)).toEqual(['/vcek/v1/Turin/cert_chain', '/vcek/v1/Turin/crl']);
  });

  test('a VLEK comes from the guest, its chain and list from AMD', async () => {
    const id = 'milan-vlek-v3-trustee-vmpl1';
    const vlek = path.join(snp as string, id, filesOf(id).signerCert);
    serve(id, 'milan-2025-openpcc.crl.der', '2025-08-01T00:00:00Z');
    expect(await fetched(fileOf(id), { trustAnchor: [] })).toEqual([2, 'USAGE']);
    expect(kds.requests).toEqual([]);
    expect(await fetched(fileOf(id), { trustAnchor: [], vlek })).toEqual([0]);
    expect(kds.requests).toEqual(['/vlek/v1/Milan/cert_chain', '/vlek/v1/Milan/crl']);
    expect(readdirSync(out()).sort()).toEqual(['asvk.pem', 'chain.pem', 'crl.der', 'vlek.der']);
  });

  test('a version 2 report signed by a VLEK does not tell its product', async () => {
    const id = 'milan-vlek-v2-trustee';
    const vlek = path.join(snp as string, id, filesOf(id).signerCert);
    expect(await fetched(fileOf(id), { vlek })).toEqual([2, 'USAGE']);
    expect(kds.requests).toEqual([]);
  });
});
