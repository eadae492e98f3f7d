import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { bytes } from '@veritee/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import {
  amdName,
  pem,
  type ReportFields,
  type ReportVersion,
  type SimulatedAmdSp,
  simulatedEvidence,
} from '../../attestation-fixtures/index.ts';
import { loadChip } from '../../attestation-fixtures/snp/key-file.ts';
import { GivenEndorsements } from '../../enclave/attester/snp-certificates.ts';
import { DEFAULT_FEED_TIMINGS, type FeedOptions } from '../../host/endorsements/feed.ts';
import { FakeEnclave } from '../support/fake-enclave.ts';
import { answer, chipUnderSharedRoot, FakeKds, type Handler, hang, reset } from '../support/fake-kds.ts';
import { hostOf, type TestHost, type TestHostOptions, tempFolder, until } from './support.ts';

const MEASUREMENT = bytes(new Uint8Array(48).fill(0x5a), 48, 'MEASUREMENT');
const REPORT_DATA = bytes(new Uint8Array(64).fill(7), 64, 'REPORT_DATA');
const QUICK: FeedOptions = {
  timings: { pollMs: 10, minBackOffMs: 30, maxBackOffMs: 120 },
  limits: { maxAttempts: 2, minBackOffMs: 1, maxBackOffMs: 2, vcekIntervalMs: 0, requestTimeoutMs: 2000 },
};

let chip: SimulatedAmdSp;
let other: SimulatedAmdSp;
let kds: FakeKds;
let enclave: FakeEnclave;

beforeAll(async () => {
  chip = await chipUnderSharedRoot();
  other = await chipUnderSharedRoot();
  kds = await new FakeKds(chip).start();
});
afterAll(() => kds.stop());
beforeEach(async () => {
  kds.requests.length = 0;
  kds.next.length = 0;
  kds.always = null;
  kds.vlekChain = null;
  enclave = await FakeEnclave.start();
  enclave.tick();
  onTestFinished(() => enclave.kill());
});

const reportOf = (of: SimulatedAmdSp) =>
  new Uint8Array(of.report({ measurement: MEASUREMENT, reportData: REPORT_DATA }));

/** The enclave has taken this report, and found no certificates for it. */
function wants(report: Uint8Array<ArrayBuffer> = reportOf(chip)): GivenEndorsements {
  const endorsements = new GivenEndorsements();
  expect(() => endorsements.chainFor(report, [])).toThrow(expect.objectContaining({ code: 'ENDORSEMENT_MISSING' }));
  enclave.endorsements = endorsements;
  return endorsements;
}

const mirror = (options: TestHostOptions = {}): Promise<TestHost> =>
  hostOf(enclave, { endorsements: { kind: 'mirror', url: kds.url }, feed: QUICK, ...options });

const metricsOf = async ({ url }: TestHost): Promise<string> => (await fetch(`${url}/metrics`)).text();
const isIn = async (host: TestHost, state: string): Promise<boolean> =>
  (await metricsOf(host)).includes(`veritee_endorsements_state{state="${state}"} 1\n`);
const cached = (data: string): string[] => {
  const folder = path.join(data, 'endorsements');
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /\d.*\.json$|chain\.json$/.test(name),
  );
};
const codesIn = ({ log }: TestHost): unknown[] =>
  log.lines.map((line) => JSON.parse(line)).flatMap(({ code, retryInMs }) => (retryInMs === undefined ? [] : code));

describe('who is asked', () => {
  const nobody: FeedOptions = {
    ...QUICK,
    fetch: () => {
      throw new Error('somebody was asked');
    },
  };

  test('AMD, by default, for an enclave on real SEV-SNP', async () => {
    const asked: string[] = [];
    enclave.platform = 'snp';
    const endorsements = wants();
    const host = await hostOf(enclave, {
      feed: {
        ...QUICK,
        fetch: (url, init) => {
          asked.push(String(url));
          return fetch(String(url).replace('https://kdsintf.amd.com', kds.url), init);
        },
      },
    });
    await until(() => endorsements.wanted === null);
    await until(() => isIn(host, 'not-wanted'));
    const hwId = Buffer.from(chip.chipId).toString('hex');
    expect(asked).toEqual([
      expect.stringContaining(`https://kdsintf.amd.com/vcek/v1/Genoa/${hwId}?blSPL=`),
      'https://kdsintf.amd.com/vcek/v1/Genoa/cert_chain',
    ]);
    const metrics = await metricsOf(host);
    expect(metrics).toContain('veritee_endorsements_total{kind="vcek",source="service"} 1');
    expect(metrics).toContain('veritee_endorsements_total{kind="chain",source="service"} 1');
  });

  test.each(['simulated-snp', 'nitro'])('not AMD for %s, which is not even asked what it wants', async (platform) => {
    let asked = 0;
    Object.defineProperty(enclave, 'platform', { get: () => [platform, ++asked][0] });
    wants();
    const host = await hostOf(enclave, { feed: nobody });
    await until(() => asked > 0); // by the feed: nobody else has asked for the status yet
    await until(async () => (await fetch(`${host.url}/readyz`)).status === 200);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(enclave.endorsementCalls).toEqual([]);
    expect(await isIn(host, 'off')).toBe(true);
    expect(host.log.text).not.toContain('somebody was asked');
  });

  test('nobody for an enclave that has its own certificates', async () => {
    enclave.platform = 'snp';
    const host = await hostOf(enclave, { feed: nobody });
    await until(() => enclave.endorsementCalls.length > 3);
    expect(new Set(enclave.endorsementCalls)).toEqual(new Set(['GET']));
    expect(await isIn(host, 'not-wanted')).toBe(true);
    expect(host.log.text).not.toContain('somebody was asked');
  });

  test('nobody, when it is off', async () => {
    enclave.platform = 'snp';
    wants();
    const host = await hostOf(enclave, { endorsements: { kind: 'off' }, feed: nobody });
    await until(async () => (await fetch(`${host.url}/readyz`)).status === 200);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([enclave.endorsementCalls, await isIn(host, 'off')]).toEqual([[], true]);
  });
});

describe('the cache', () => {
  test('serves the next host process without a request', async () => {
    const data = tempFolder();
    const first = wants();
    const host = await mirror({ data });
    await until(() => first.wanted === null);
    await until(() => cached(data).length === 2);
    await host.close();
    expect(kds.requests).toHaveLength(2);
    const second = wants();
    const again = await mirror({ data });
    await until(() => second.wanted === null);
    await until(async () => (await metricsOf(again)).includes('{kind="vcek",source="cache"} 1'));
    expect(kds.requests).toHaveLength(2);
  });

  test('what was kept and fits no more is asked for again, once', async () => {
    const data = tempFolder();
    const first = wants();
    const host = await mirror({ data });
    await until(() => first.wanted === null);
    await until(() => cached(data).length === 2);
    await host.close();
    // The same chip and TCB, under a new key: what AMD's answer to a request is now.
    const authority = (await loadChip(process.env['VERITEE_TEST_CHIP'] as string))?.authority;
    const renewed = await simulatedEvidence({
      ...{ product: 'Genoa', version: 5, reportData: REPORT_DATA, measurement: MEASUREMENT },
      ...{ chipId: chip.chipId, tcb: chip.tcb, ...(authority ? { authority } : {}) },
    });
    kds.requests.length = 0;
    kds.next.push(answer(200, renewed.chain[0]));
    const second = wants(new Uint8Array(renewed.report));
    await mirror({ data });
    await until(() => second.wanted === null);
    expect(kds.requests.map((one) => one.split('?')[0]?.split('/')[1])).toEqual(['vcek', 'vcek']);
  });
});

describe('a key service', () => {
  test.each<readonly [string, Handler, string]>([
    ['that is down', reset, 'SERVICE_UNREACHABLE'],
    ['that answers 500', answer(500), 'SERVICE_UNREACHABLE'],
    ['that throttles for a second', answer(429, '', { 'retry-after': '1' }), 'SERVICE_UNREACHABLE'],
    ['that refuses', answer(403), 'SERVICE_REFUSED'],
    ['that has none', answer(404), 'ENDORSEMENT_MISSING'],
    ['that sends a web page', answer(200, '<html>', { 'content-type': 'text/html' }), 'ENDORSEMENT_MALFORMED'],
  ])('%s: told by code, asked at ever longer distances, and used once it is well', async (_, handler, code) => {
    const data = tempFolder();
    const endorsements = wants();
    kds.always = handler;
    const feed = { ...QUICK, limits: { ...QUICK.limits, totalMs: 500 } };
    const host = await mirror({ data, feed });
    await until(() => codesIn(host).length >= 3);
    expect(new Set(codesIn(host))).toEqual(new Set([code]));
    expect(endorsements.wanted).not.toBeNull();
    expect(await isIn(host, 'missing')).toBe(true);
    expect(await metricsOf(host)).toMatch(new RegExp(`veritee_endorsement_failures_total\\{code="${code}"\\} [3-9]`));
    expect(host.log.lines.flatMap((line) => JSON.parse(line).retryInMs ?? []).slice(0, 3)).toEqual([30, 60, 120]);
    expect(cached(data)).toEqual([]);
    kds.always = null;
    await until(() => endorsements.wanted === null);
    await until(() => isIn(host, 'not-wanted'));
  });

  test('that lies: the enclave takes nothing, nothing is kept, and the truth is taken when it comes', async () => {
    const data = tempFolder();
    const endorsements = wants();
    const { truth } = kds;
    kds.always = (res, req) =>
      req.url?.includes('cert_chain') ? truth(res, req) : answer(200, other.certificates.vcek)(res, req);
    const host = await mirror({ data });
    await until(() => codesIn(host).length >= 2);
    expect(new Set(codesIn(host))).toEqual(new Set(['CERTIFICATE_INVALID']));
    expect([cached(data), endorsements.wanted?.length]).toEqual([[], 1184]);
    kds.always = null;
    await until(() => endorsements.wanted === null);
  });

  test('that hangs does not hold up the end of the host', async () => {
    wants();
    kds.always = hang;
    const host = await mirror({ feed: { ...QUICK, limits: { ...QUICK.limits, requestTimeoutMs: 600_000 } } });
    await until(() => kds.requests.length > 0);
    await host.close();
    expect(codesIn(host)).toEqual([]);
  });

  test('is left alone for half a minute after its first failure, unless another chip asks', async () => {
    wants();
    kds.always = answer(404);
    const host = await mirror({ feed: { ...QUICK, timings: { ...DEFAULT_FEED_TIMINGS, pollMs: 5 } } });
    await until(() => codesIn(host).length === 1);
    const polls = enclave.endorsementCalls.length;
    await until(() => enclave.endorsementCalls.length > polls + 5);
    expect(kds.requests).toHaveLength(1);
    wants(reportOf(other));
    await until(() => kds.requests.length === 2);
  });
});

describe('guests with a VLEK', () => {
  async function vlekGuest(
    version: ReportVersion,
    mutate: (fields: ReportFields) => ReportFields = (fields) => fields,
  ) {
    const authority = (await loadChip(process.env['VERITEE_TEST_CHIP'] as string))?.authority;
    const { report, chain, ark } = await simulatedEvidence({
      ...{ product: 'Genoa', version, reportData: REPORT_DATA, measurement: MEASUREMENT },
      ...(authority ? { authority } : {}),
      mutate: (fields) => mutate({ ...fields, keyInfo: 1 << 2 }),
      mutateVcek: (spec) => ({ ...spec, subject: amdName('SEV-VLEK'), issuer: amdName('SEV-VLEK-Genoa') }),
      mutateAsk: (spec) => ({ ...spec, subject: amdName('SEV-VLEK-Genoa') }),
    });
    kds.vlekChain = pem(chain[1]) + pem(ark);
    return { report: new Uint8Array(report), vlek: chain[0] };
  }

  test('AMD has the ASVK, the guest brings the VLEK', async () => {
    const { report, vlek } = await vlekGuest(5);
    const endorsements = wants(report);
    endorsements.offer(vlek);
    await mirror();
    await until(() => endorsements.wanted === null);
    expect(kds.requests).toEqual(['/vlek/v1/Genoa/cert_chain']);
  });

  test('version 2, where nothing tells the product, and the chip is hidden', async () => {
    const { report, vlek } = await vlekGuest(2, (fields) => ({
      ...fields,
      chipId: bytes(new Uint8Array(64), 64, 'CHIP_ID'),
    }));
    const endorsements = wants(report);
    endorsements.offer(vlek);
    kds.next.push(answer(200, kds.chain)); // Milan's, which fits nothing
    kds.next.push(kds.truth);
    kds.next.push(answer(404)); // no VLEKs for Turin
    await mirror();
    await until(() => endorsements.wanted === null);
    expect(kds.requests).toEqual(['Milan', 'Genoa', 'Turin'].map((product) => `/vlek/v1/${product}/cert_chain`));
  });

  test('without its VLEK: told where it comes from, and nobody is pressed', async () => {
    const { report } = await vlekGuest(5);
    wants(report);
    const host = await mirror();
    await until(() => codesIn(host).length >= 2);
    expect(new Set(codesIn(host))).toEqual(new Set(['ENDORSEMENT_MISSING']));
    expect(host.log.text).toContain('comes from the cloud provider');
    expect(new Set(kds.requests)).toEqual(new Set(['/vlek/v1/Genoa/cert_chain']));
  });
});

describe('reports that nobody can be asked about', () => {
  const changed = (at: number, value: readonly number[]) => {
    const report = reportOf(chip);
    report.set(value, at);
    return report;
  };

  test.each([
    ['a hidden chip', () => changed(0x1a0, new Array<number>(64).fill(0)), 'CHIP_ID_MASKED'],
    ['no signing key', () => changed(0x48, [7 << 2]), 'EVIDENCE_UNSUPPORTED'],
    ['another processor', () => changed(0x188, [0x55]), 'EVIDENCE_UNSUPPORTED'],
    ['a reserved byte of the TCB', () => changed(0x183, [1]), 'EVIDENCE_MALFORMED'],
    ['half a report', () => reportOf(chip).subarray(0, 600), 'EVIDENCE_MALFORMED'],
  ])('%s', async (_, report, code) => {
    enclave.endorsements = { wanted: report(), offer: () => undefined };
    const host = await mirror();
    await until(() => codesIn(host).length >= 2);
    expect([new Set(codesIn(host)), kds.requests]).toEqual([new Set([code]), []]);
  });
});
