import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { encodeTcb, pem, type SimulatedAmdSp } from '../../attestation-fixtures/index.ts';
import {
  EndorsementFetcher,
  type EndorsementFetcherOptions,
  type EndorsementLimits,
  type EndorsementProgress,
} from '../../host/endorsements/fetcher.ts';
import { cachePathOf, type EndorsementKey, type KdsProduct, resourceOf } from '../../host/endorsements/keys.ts';
import { kdsProductsOf } from '../../host/endorsements/products.ts';
import { parseRetryAfter } from '../../host/endorsements/request.ts';
import { bytes } from '../../protocol/bytes.ts';
import {
  answer,
  chipUnderSharedRoot,
  FakeClock,
  FakeKds,
  type Handler,
  hang,
  reset,
  stall,
  truncated,
} from '../support/fake-kds.ts';
import { tempFolder } from './support.ts';

let kds: FakeKds;
let other: SimulatedAmdSp;
let clock: FakeClock;
let told: EndorsementProgress[];

beforeAll(async () => {
  kds = await new FakeKds(await chipUnderSharedRoot()).start();
  other = await chipUnderSharedRoot();
});
afterAll(() => kds.stop());
beforeEach(() => {
  kds.requests.length = 0;
  kds.next.length = 0;
  kds.always = null;
  kds.mostAtOnce = 0;
  kds.crl = kds.makeCrl(Date.parse('2026-05-01T00:00:00Z'));
  clock = new FakeClock();
  told = [];
});

const fetcherOf = (
  cacheDir = tempFolder(),
  limits: Partial<EndorsementLimits> = {},
  options: Partial<EndorsementFetcherOptions> = {},
) =>
  new EndorsementFetcher({
    cacheDir,
    baseUrl: kds.url,
    limits,
    now: clock.now,
    sleep: clock.sleep,
    random: () => 0,
    onProgress: (event) => void told.push(event),
    ...options,
  });

const CHAIN = { kind: 'chain', product: 'Genoa', signer: 'vcek' } as const;
const CRL = { kind: 'crl', product: 'Genoa', signer: 'vcek' } as const;
const vcekKey = (microcode?: number) => {
  const tcb = { ...kds.chip.tcb, microcode: microcode ?? kds.chip.tcb.microcode };
  return { kind: 'vcek', product: 'Genoa', chipId: kds.chip.chipId, tcb: encodeTcb(tcb) } as const;
};
const truthOf = ({ kind }: EndorsementKey): Uint8Array =>
  kind === 'vcek' ? kds.chip.certificates.vcek : kind === 'crl' ? kds.crl : Buffer.from(kds.chain);

async function codeOf(work: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'no error';
}

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();

describe('addresses', () => {
  const chip = (n: number) => bytes(new Uint8Array(64).fill(0xab, 0, n), 64, 'CHIP_ID');
  const tcb = (...values: number[]) => bytes(Uint8Array.from(values), 8, 'TCB');

  test.each<[KdsProduct, number, number[], string]>([
    ['Milan', 64, [4, 0, 0, 0, 0, 0, 27, 222], `Milan/${'ab'.repeat(64)}?blSPL=4&teeSPL=0&snpSPL=27&ucodeSPL=222`],
    ['Genoa', 64, [10, 1, 0, 0, 0, 0, 25, 84], `Genoa/${'ab'.repeat(64)}?blSPL=10&teeSPL=1&snpSPL=25&ucodeSPL=84`],
    ['Turin', 8, [1, 2, 3, 4, 0, 0, 0, 81], `Turin/${'ab'.repeat(8)}?fmcSPL=1&blSPL=2&teeSPL=3&snpSPL=4&ucodeSPL=81`],
  ])('the VCEK of a %s', (product, size, values, expected) => {
    expect(resourceOf({ kind: 'vcek', product, chipId: chip(size), tcb: tcb(...values) })).toBe(`/vcek/v1/${expected}`);
  });

  test.each(['vcek', 'vlek'] as const)('chain and CRL for a %s', (signer) => {
    expect(resourceOf({ kind: 'chain', product: 'Milan', signer })).toBe(`/${signer}/v1/Milan/cert_chain`);
    expect(resourceOf({ kind: 'crl', product: 'Turin', signer })).toBe(`/${signer}/v1/Turin/crl`);
  });

  test('what has no address is refused before anyone is asked', async () => {
    const milan = { product: 'Milan', chipId: chip(64), tcb: tcb(4, 0, 0, 0, 0, 0, 27, 222) } as const;
    const fetcher = fetcherOf();
    expect(await codeOf(fetcher.vcek({ ...milan, chipId: chip(0) }))).toBe('CHIP_ID_MASKED');
    expect(await codeOf(fetcher.vcek({ ...milan, tcb: tcb(1, 1, 1, 4, 0, 0, 0, 81) }))).toBe('EVIDENCE_MALFORMED');
    const turin = { product: 'Turin', chipId: chip(8), tcb: tcb(1, 1, 1, 4, 0, 0, 0, 81) } as const;
    expect(await codeOf(fetcher.vcek({ ...turin, chipId: chip(9) }))).toBe('EVIDENCE_MALFORMED');
    expect(await codeOf(fetcher.vcek({ ...turin, tcb: tcb(1, 1, 1, 4, 0, 0, 1, 81) }))).toBe('EVIDENCE_MALFORMED');
    expect(kds.requests).toEqual([]);
  });

  test('a mirror below a path, and what is no address of one', async () => {
    kds.always = answer(200, kds.chain);
    await fetcherOf(tempFolder(), {}, { baseUrl: `${kds.url}/amd/` }).chain('Milan', 'vlek');
    expect(kds.requests).toEqual(['/amd/vlek/v1/Milan/cert_chain']);
    for (const baseUrl of ['', 'kds', 'ftp://a', 'http://a/?q', 'http://u@a/', 'file:///etc']) {
      expect(await codeOf(() => fetcherOf('unused', {}, { baseUrl })), baseUrl).toBe('USAGE');
    }
  });

  test.each<[string, { family: number; model: number } | null, number, string[]]>([
    ['Milan', { family: 0x19, model: 0x01 }, 64, ['Milan']],
    ['Genoa', { family: 0x19, model: 0x11 }, 64, ['Genoa']],
    ['Siena', { family: 0x19, model: 0xa0 }, 64, ['Genoa']],
    ['Turin', { family: 0x1a, model: 0x02 }, 8, ['Turin']],
    ['version 2 with a long CHIP_ID', null, 64, ['Milan', 'Genoa']],
    ['version 2 with a short CHIP_ID', null, 8, ['Turin']],
  ])('products of %s', (_what, cpuid, size, expected) => {
    expect(kdsProductsOf({ cpuid, chipId: chip(size) })).toEqual(expected);
  });

  test('an unknown processor is unsupported', async () => {
    for (const [family, model] of [
      [0x19, 0x20],
      [0x1a, 0x50],
      [0x17, 0x31],
    ] as const) {
      expect(await codeOf(() => kdsProductsOf({ cpuid: { family, model }, chipId: chip(64) }))).toBe(
        'EVIDENCE_UNSUPPORTED',
      );
    }
  });
});

describe('politeness', () => {
  test('one request at a time, and one for all who ask the same', async () => {
    const fetcher = fetcherOf();
    // Long enough for a second request to arrive, if one were sent.
    kds.always = (res, req) => void setTimeout(() => kds.truth(res, req), 30);
    const calls = Array.from({ length: 10 }, () => [fetcher.get(vcekKey()), fetcher.get(CHAIN), fetcher.get(CRL)]);
    const all = await Promise.all(calls.flat());
    expect(kds.requests).toHaveLength(3);
    expect(kds.mostAtOnce).toBe(1);
    for (const { key, bytes: found, source } of all) {
      expect(source).toBe('service');
      expect(Buffer.from(found).equals(truthOf(key))).toBe(true);
    }
    expect(told).toEqual([]);
  });

  test('VCEKs are ten seconds apart, and nothing else waits for that', async () => {
    const fetcher = fetcherOf();
    await fetcher.get(vcekKey());
    await fetcher.get(CHAIN);
    expect(clock.slept).toEqual([]);
    clock.time += 4000;
    await fetcher.get(vcekKey(1));
    expect(clock.slept).toEqual([6000]);
    await Promise.all([fetcher.get(vcekKey(2)), fetcher.get(vcekKey(3))]);
    expect(clock.slept).toEqual([6000, 10_000, 10_000]);
    expect(told).toMatchObject([6000, 10_000, 10_000].map((waitMs) => ({ kind: 'waiting', waitMs })));
  });

  test('waits of two seconds and less are not worth a word', async () => {
    const fetcher = fetcherOf();
    await fetcher.get(vcekKey());
    clock.time += 8000;
    await fetcher.get(vcekKey(1));
    expect(clock.slept).toEqual([2000]);
    expect(told).toEqual([]);
  });

  test('another process with the same folder keeps the same distance', async () => {
    const folder = tempFolder();
    await fetcherOf(folder).get(vcekKey());
    await fetcherOf(folder).get(vcekKey(1));
    expect(clock.slept).toEqual([10_000]);
  });

  test.each(['', '{', '[]', '{"nextVcek":5}', '{"nextVcek":"9999-01-01T00:00:00Z","nextAny":"x"}', '\0'.repeat(5000)])(
    'a damaged pace file (%j) stops nothing',
    async (content) => {
      const folder = tempFolder();
      writeFileSync(path.join(folder, 'pace.json'), content);
      await fetcherOf(folder).get(vcekKey());
      expect(clock.slept).toEqual([]);
      expect(kds.requests).toHaveLength(1);
    },
  );

  test.each<[string, string, number]>([
    ['in seconds', '45', 45_000],
    ['as a date', 'Mon, 01 Jun 2026 00:01:30 GMT', 90_000],
    ['shorter than our own pause', '1', 10_000],
    ['that cannot be read', 'soon', 10_000],
  ])('throttled with a Retry-After %s', async (_what, retryAfter, waitMs) => {
    kds.next.push(answer(429, 'slow down', { 'retry-after': retryAfter }));
    await fetcherOf().get(CHAIN);
    expect(clock.slept).toEqual([waitMs]);
    expect(told).toMatchObject([{ kind: 'waiting', waitMs, reason: 'throttled (429)' }]);
    expect(kds.requests).toHaveLength(2);
  });

  test('what a Retry-After asks holds for everything and for every process', async () => {
    const folder = tempFolder();
    kds.next.push(answer(429, '', { 'retry-after': '120' }));
    expect(await codeOf(fetcherOf(folder, { maxAttempts: 1 }).get(CHAIN))).toBe('SERVICE_UNREACHABLE');
    await fetcherOf(folder).get(CRL);
    expect(clock.slept).toEqual([120_000]);
  });

  test('throttled for ever: ever longer pauses, then an end', async () => {
    kds.always = answer(429);
    expect(await codeOf(fetcherOf().get(CHAIN))).toBe('SERVICE_UNREACHABLE');
    expect(clock.slept).toEqual([10_000, 20_000, 40_000, 60_000, 60_000]);
    expect(kds.requests).toHaveLength(6);
  });

  test('the pauses of many machines spread', async () => {
    kds.next.push(answer(503), answer(503));
    await fetcherOf(tempFolder(), {}, { random: () => 0.8 }).get(CHAIN);
    expect(clock.slept).toEqual([1200, 2400]);
  });

  test('never past the total time', async () => {
    kds.always = answer(503);
    const start = clock.time;
    const limits = { maxAttempts: 1000, totalMs: 100_000 };
    expect(await codeOf(fetcherOf(tempFolder(), limits).get(CHAIN))).toBe('SERVICE_UNREACHABLE');
    expect(clock.time - start).toBeLessThanOrEqual(100_000);
    expect(kds.requests.length).toBeLessThan(10);
  });

  test('told to stay away for an hour, it does, and says so at once', async () => {
    const folder = tempFolder();
    kds.next.push(answer(429, '', { 'retry-after': '3600' }));
    await expect(fetcherOf(folder).get(CHAIN)).rejects.toMatchObject({
      code: 'SERVICE_UNREACHABLE',
      message: expect.stringContaining('3600 s'),
    });
    expect(await codeOf(fetcherOf(folder).get(vcekKey()))).toBe('SERVICE_UNREACHABLE');
    expect(clock.slept).toEqual([]);
    expect(kds.requests).toHaveLength(1);
    clock.time += 3_600_000;
    await fetcherOf(folder).get(CHAIN);
    expect(kds.requests).toHaveLength(2);
  });

  test('an answer that takes long is told once', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const never = (_url: unknown, { signal }: RequestInit = {}) =>
      new Promise<Response>((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
    const failed = codeOf(fetcherOf(tempFolder(), { maxAttempts: 1 }, { fetch: never }).get(CHAIN));
    // The files of the pace are real and take their own time.
    while (vi.getTimerCount() < 2) await new Promise((resolve) => setImmediate(resolve));
    await vi.advanceTimersByTimeAsync(29_000);
    expect(told).toEqual([{ kind: 'slow', what: 'the Genoa certificate chain for VCEKs' }]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await failed).toBe('SERVICE_UNREACHABLE');
    expect(told).toHaveLength(1);
  });

  test('Retry-After', () => {
    const now = Date.parse('2026-06-01T00:00:00Z');
    expect(parseRetryAfter(null, now)).toBe(null);
    expect(parseRetryAfter('0', now)).toBe(0);
    expect(parseRetryAfter(' 7 ', now)).toBe(7000);
    expect(parseRetryAfter('Mon, 01 Jun 2026 00:00:05 GMT', now)).toBe(5000);
    expect(parseRetryAfter('Sun, 31 May 2026 00:00:00 GMT', now)).toBe(0);
    for (const text of ['', '-1', '1.5', '1e3', 'Mon, nonsense', '2026-06-01', '9'.repeat(30)]) {
      expect(parseRetryAfter(text, now), text).toBe(null);
    }
  });
});

describe('failures', () => {
  /** Lets the time of one request pass as soon as the service has begun not to answer. */
  const slowly =
    (handler: Handler): Handler =>
    (res, req) => {
      handler(res, req);
      vi.advanceTimersByTime(30_000);
    };

  test.each<[string, () => Handler]>([
    ['500', () => answer(500, 'oops')],
    ['503', () => answer(503)],
    ['408', () => answer(408)],
    ['a reset', () => reset],
    ['an answer that breaks off', () => truncated(kds.crl)],
    ['no answer', () => slowly(hang)],
    ['an answer that stalls', () => slowly(stall(kds.crl))],
  ])('%s, twice, then the truth', async (_what, handler) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    kds.next.push(handler(), handler());
    const { bytes: found, source } = await fetcherOf().get(CRL);
    expect(Buffer.from(found).equals(kds.crl)).toBe(true);
    expect(source).toBe('service');
    expect(kds.requests).toHaveLength(3);
    expect(clock.slept).toEqual([1000, 2000]);
  });

  test('a service that is not there', async () => {
    const gone = await new FakeKds(kds.chip).start();
    const baseUrl = gone.url;
    await gone.stop();
    expect(await codeOf(fetcherOf(tempFolder(), {}, { baseUrl }).get(CRL))).toBe('SERVICE_UNREACHABLE');
    expect(clock.slept).toEqual([1000, 2000, 4000, 8000, 16_000]);
  });

  test('a failure is not remembered', async () => {
    const fetcher = fetcherOf(tempFolder(), { maxAttempts: 1 });
    kds.next.push(reset);
    expect(await codeOf(fetcher.get(CRL))).toBe('SERVICE_UNREACHABLE');
    expect((await fetcher.get(CRL)).source).toBe('service');
  });

  test('nothing of that name: asked once', async () => {
    const fetcher = fetcherOf();
    expect(await codeOf(fetcher.get({ ...vcekKey(), chipId: other.chipId }))).toBe('ENDORSEMENT_MISSING');
    expect(kds.requests).toHaveLength(1);
  });

  test.each([400, 401, 403, 301, 302, 204])('status %i is a refusal: asked once, followed nowhere', async (status) => {
    kds.always = answer(status, '', { location: '/vcek/v1/Genoa/cert_chain' });
    expect(await codeOf(fetcherOf().get(CRL))).toBe('SERVICE_REFUSED');
    expect(kds.requests).toHaveLength(1);
  });
});

describe('lies', () => {
  const html = Buffer.from('<!doctype html><title>Sign in</title>');
  const tail = (content: Uint8Array) => Buffer.concat([content, Uint8Array.of(0)]);
  const { CERT } = { CERT: () => Buffer.from(kds.chip.certificates.ask) };
  const certificatePem = () => pem(kds.chip.certificates.ask);

  test.each<[string, EndorsementKey['kind'], () => Handler]>([
    ['a web page', 'vcek', () => answer(200, html, { 'content-type': 'text/html; charset=utf-8' })],
    ['a web page of an innocent type', 'vcek', () => answer(200, html, { 'content-type': 'application/pkix-cert' })],
    ['a web page', 'chain', () => answer(200, html)],
    ['a web page', 'crl', () => answer(200, html)],
    [
      'the truth called a web page',
      'vcek',
      () => answer(200, kds.chip.certificates.vcek, { 'content-type': 'text/html' }),
    ],
    ['the truth called JSON', 'crl', () => answer(200, kds.crl, { 'content-type': 'application/problem+json' })],
    ['nothing', 'vcek', () => answer(200)],
    ['nothing', 'chain', () => answer(200)],
    ['nothing', 'crl', () => answer(200)],
    ['too much', 'vcek', () => answer(200, Buffer.alloc(17 << 10, 0x30))],
    ['too much', 'chain', () => answer(200, Buffer.alloc(65 << 10, 0x2d))],
    ['too much, unannounced', 'crl', () => (res) => void endless(res)],
    ['half of it', 'vcek', () => answer(200, kds.chip.certificates.vcek.subarray(0, 700))],
    ['half of it', 'crl', () => answer(200, kds.crl.subarray(0, 500))],
    ['half of it', 'chain', () => answer(200, kds.chain.slice(0, 3000))],
    ['one byte more', 'vcek', () => answer(200, tail(kds.chip.certificates.vcek))],
    ['one byte more', 'crl', () => answer(200, tail(kds.crl))],
    ['a CRL', 'vcek', () => answer(200, kds.crl)],
    ['a certificate', 'crl', () => answer(200, CERT())],
    ['PEM', 'vcek', () => answer(200, certificatePem())],
    ['DER that is no certificate', 'vcek', () => answer(200, Uint8Array.of(0x30, 3, 2, 1, 0))],
    ['DER that is no list', 'crl', () => answer(200, Uint8Array.of(0x30, 3, 2, 1, 0))],
    ['a length beyond the end', 'crl', () => answer(200, Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff))],
    ['a list of another time', 'crl', () => answer(200, withoutTime())],
    ['one certificate', 'chain', () => answer(200, certificatePem())],
    ['three certificates', 'chain', () => answer(200, kds.chain + certificatePem())],
    ['text in between', 'chain', () => answer(200, kds.chain.replace('-----\n-----', '-----\n<b>-----'))],
    ['certificates that are none', 'chain', () => answer(200, pem(Uint8Array.of(0x30, 0)).repeat(2))],
    ['base64 that is none', 'chain', () => answer(200, kds.chain.replaceAll('MII', 'M=I'))],
    ['DER', 'chain', () => answer(200, Buffer.concat([CERT(), CERT()]))],
    ['a key', 'chain', () => answer(200, kds.chain.replaceAll('CERTIFICATE', 'PRIVATE KEY'))],
  ])('%s instead of the %s', async (_what, kind, handler) => {
    const folder = tempFolder();
    const fetcher = fetcherOf(folder);
    const key = kind === 'vcek' ? vcekKey() : kind === 'crl' ? CRL : CHAIN;
    kds.next.push(handler());
    expect(await codeOf(fetcher.get(key))).toBe('ENDORSEMENT_MALFORMED');
    expect(filesIn(folder).filter((name) => name !== 'pace.json')).toEqual([]);
    expect(kds.requests).toHaveLength(1);
    const { bytes: found } = await fetcher.get(key);
    expect(Buffer.from(found).equals(truthOf(key))).toBe(true);
  });

  function endless(res: Parameters<Handler>[0]): void {
    res.writeHead(200);
    const more = () => void (res.writable && res.write(Buffer.alloc(1 << 16), more));
    more();
  }

  function withoutTime(): Uint8Array {
    const changed = Buffer.from(kds.crl);
    const at = changed.indexOf('260501000000Z');
    changed.write('26-5-1000000Z', at);
    return changed;
  }

  test('every cut of a CRL and of a VCEK is refused', async () => {
    const { checkShape } = await import('../../host/endorsements/shape.ts');
    for (const key of [CRL, vcekKey()]) {
      const whole = truthOf(key);
      checkShape(key, whole);
      for (let length = 0; length < whole.length; length++) {
        expect(await codeOf(() => checkShape(key, whole.subarray(0, length))), String(length)).toBe(
          'ENDORSEMENT_MALFORMED',
        );
      }
    }
  });

  test('a well-formed lie is handed out as unverified and stays nowhere', async () => {
    const folder = tempFolder();
    const fetcher = fetcherOf(folder);
    kds.next.push(answer(200, other.certificates.vcek));
    const lie = await fetcher.get(vcekKey());
    expect(Buffer.from(lie.bytes).equals(other.certificates.vcek)).toBe(true);
    expect(filesIn(folder)).toEqual(['pace.json']);
    const truth = await fetcher.get(vcekKey());
    expect(Buffer.from(truth.bytes).equals(kds.chip.certificates.vcek)).toBe(true);
  });
});

describe('what was verified is kept', () => {
  const kept = async (key: EndorsementKey, folder = tempFolder()) => {
    const fetcher = fetcherOf(folder);
    await fetcher.keep(await fetcher.get(key));
    kds.requests.length = 0;
    return { folder, fetcher, file: path.join(folder, cachePathOf(key)) };
  };

  test.each(['vcek', 'chain', 'crl'] as const)('a %s, for every process', async (kind) => {
    const key = kind === 'vcek' ? vcekKey() : kind === 'crl' ? CRL : CHAIN;
    const { folder, file } = await kept(key);
    clock.time += 60_000;
    const found = await fetcherOf(folder).get(key);
    expect(found).toMatchObject({ key, source: 'cache', refreshFailure: null });
    expect(found.fetchedAt.getTime()).toBe(clock.time - 60_000);
    expect(Buffer.from(found.bytes).equals(truthOf(key))).toBe(true);
    expect(kds.requests).toEqual([]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(filesIn(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('a VCEK belongs to its chip and TCB, and serves for years', async () => {
    const { folder } = await kept(vcekKey());
    clock.time += 5 * 365 * 86_400_000;
    await fetcherOf(folder).get(vcekKey());
    expect(kds.requests).toEqual([]);
    await fetcherOf(folder).get(vcekKey(1));
    expect(kds.requests).toHaveLength(1);
  });

  test('until it is forgotten', async () => {
    const { fetcher, file } = await kept(vcekKey());
    await fetcher.forget(vcekKey());
    await fetcher.forget(vcekKey());
    expect(existsSync(file)).toBe(false);
    expect((await fetcher.get(vcekKey())).source).toBe('service');
  });

  test('damage is never served: it is asked for again and told', async () => {
    const { folder, file } = await kept(CRL);
    const good = readFileSync(file, 'utf8');
    const stored = JSON.parse(good);
    const changes = [
      '',
      'null',
      '[]',
      good.slice(0, -3),
      good.replace(/"data": "(.)/, '"data": "_$1'),
      JSON.stringify({ ...stored, data: Buffer.from(kds.chip.certificates.vcek).toString('base64') }),
      JSON.stringify({ ...stored, sha256: '0'.repeat(64) }),
      JSON.stringify({ ...stored, fetchedAt: 'yesterday' }),
      JSON.stringify({ ...stored, resource: '/vcek/v1/Milan/crl' }),
      JSON.stringify({ ...stored, data: 7 }),
      'x'.repeat(5_000_000),
    ];
    for (const [index, content] of changes.entries()) {
      writeFileSync(file, content);
      told.length = 0;
      const found = await fetcherOf(folder).get(CRL);
      expect(found.source, content.slice(0, 100)).toBe('service');
      // The last is too large to be read at all.
      const damaged = [{ kind: 'damaged', what: 'the Genoa CRL for VCEKs' }];
      expect(told).toEqual(index === changes.length - 1 ? [] : damaged);
    }
    expect(kds.requests).toHaveLength(changes.length);
  });

  test('any flipped bit of the stored bytes is damage', async () => {
    const { folder, file } = await kept(vcekKey());
    const stored = JSON.parse(readFileSync(file, 'utf8'));
    const data = Buffer.from(stored.data, 'base64');
    clock.time += 60_000;
    for (let at = 0; at < data.length; at += 97) {
      const changed = Buffer.from(data);
      changed[at] = (changed[at] as number) ^ 1;
      writeFileSync(file, JSON.stringify({ ...stored, data: changed.toString('base64') }));
      expect((await fetcherOf(folder, { vcekIntervalMs: 0 }).get(vcekKey())).source).toBe('service');
    }
  });

  test('a folder that cannot be used is said before anyone is asked', async () => {
    const file = path.join(tempFolder(), 'file');
    writeFileSync(file, '');
    expect(await codeOf(fetcherOf(file).get(vcekKey()))).toBe('FILE_UNREADABLE');
    expect(kds.requests).toEqual([]);
  });

  describe('and refreshed', () => {
    const DAY = 86_400_000;

    test.each([
      ['a CRL', CRL, 1],
      ['a chain', CHAIN, 30],
    ] as const)('%s when it is old', async (_what, key, days) => {
      const { folder } = await kept(key);
      clock.time += days * DAY - 1;
      expect((await fetcherOf(folder).get(key)).source).toBe('cache');
      clock.time += 1;
      expect((await fetcherOf(folder).get(key)).source).toBe('service');
      expect(kds.requests).toHaveLength(1);
    });

    test('from a clock that was ahead', async () => {
      const { folder } = await kept(CRL);
      clock.time -= 1000;
      expect((await fetcherOf(folder).get(CRL)).source).toBe('service');
    });

    test('but the old CRL stays when the service fails, which is then left alone for a while', async () => {
      const { fetcher } = await kept(CRL);
      clock.time += 2 * DAY;
      kds.always = answer(500);
      const old = await fetcher.get(CRL);
      expect(old).toMatchObject({ source: 'cache', refreshFailure: { code: 'SERVICE_UNREACHABLE' } });
      expect(Buffer.from(old.bytes).equals(kds.crl)).toBe(true);
      expect(kds.requests).toHaveLength(2);
      expect((await fetcher.get(CRL)).refreshFailure).toMatchObject({ code: 'SERVICE_UNREACHABLE' });
      expect(kds.requests).toHaveLength(2);
      clock.time += 15 * 60_000;
      kds.always = null;
      kds.crl = kds.makeCrl(clock.time);
      const fresh = await fetcher.get(CRL);
      expect(fresh).toMatchObject({ source: 'service', refreshFailure: null });
      await fetcher.keep(fresh);
      expect((await fetcher.get(CRL)).source).toBe('cache');
    });

    test.each<[string, () => Handler, string]>([
      ['a web page', () => answer(200, '<html>'), 'ENDORSEMENT_MALFORMED'],
      ['nothing of that name', () => answer(404), 'ENDORSEMENT_MISSING'],
      [
        'a list older than the one kept',
        () => answer(200, kds.makeCrl(Date.parse('2026-04-30T23:59:59Z'))),
        'CRL_STALE',
      ],
    ])('never by %s', async (_what, handler, code) => {
      const { folder } = await kept(CRL);
      clock.time += 2 * DAY;
      kds.next.push(handler());
      const old = await fetcherOf(folder).get(CRL);
      expect(old).toMatchObject({ source: 'cache', refreshFailure: { code } });
      expect(Buffer.from(old.bytes).equals(kds.crl)).toBe(true);
    });
  });
});
