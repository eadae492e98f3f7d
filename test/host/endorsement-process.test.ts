/** The enclave's own process on a configfs-tsm that is a real file system, a host beside it, and a key service on loopback. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import {
  arkSpec,
  askSpec,
  generateVcekKey,
  issueCertificate,
  pem,
  publicKeyOf,
  SimulatedAmdSp,
  vcekSpec,
} from '../../attestation-fixtures/index.ts';
import { loadChip } from '../../attestation-fixtures/snp/key-file.ts';
import type { FeedOptions } from '../../host/endorsements/feed.ts';
import { parseEnclaveAddress } from '../../host/settings.ts';
import { assess, parsePolicy, readTrustAnchors } from '../../verifier/index.ts';
import { answer, FakeKds, reset } from '../support/fake-kds.ts';
import { strictPolicy } from '../support/policies.ts';
import { RealEnclave } from '../support/real-enclave.ts';
import { ROOT } from '../support/shared.ts';
import { PROGRAMS, TsmMount } from '../support/tsm-mount.ts';
import { hostOf, ready, type TestHost, until } from './support.ts';

const missing = TsmMount.missing();
if (missing !== null) console.warn(`SKIPPED: the endorsement service with a real enclave (FUSE): ${missing}`);

const QUICK: FeedOptions = {
  timings: { pollMs: 20, minBackOffMs: 50, maxBackOffMs: 200 },
  limits: { maxAttempts: 1, vcekIntervalMs: 0 },
};

const home = mkdtempSync(path.join(tmpdir(), 'veritee-feed-'));
let kds: FakeKds;
let tsm: TsmMount;

describe.skipIf(missing !== null)('an enclave without certificates', () => {
  beforeAll(async () => {
    const keys = path.join(home, 'keys');
    tsm = await TsmMount.mount({ keys, certificates: 'none' });
    kds = await new FakeKds(await SimulatedAmdSp.loadOrCreate(keys)).start();
  }, 120_000);
  afterAll(async () => {
    await kds?.stop();
    await tsm?.stop();
    for (const folder of [home, PROGRAMS]) rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    kds.requests.length = 0;
    kds.always = null;
  });

  async function start(): Promise<{ enclave: RealEnclave; host: TestHost }> {
    const enclave = await RealEnclave.start([
      ...['--models', path.join(ROOT, 'enclave/sample-models'), '--workers', '1'],
      ...['--platform', 'snp', '--tsm-folder', `${tsm.folder}/report`, '--report-interval-ms', '20'],
    ]);
    onTestFinished(() => enclave.stop());
    const address = parseEnclaveAddress(`tcp:${new URL(enclave.url).host}`);
    const host = await hostOf({ address }, { endorsements: { kind: 'mirror', url: kds.url }, feed: QUICK });
    return { enclave, host };
  }

  const readyz = async ({ url }: TestHost) => {
    const response = await fetch(`${url}/readyz`);
    const { tickError, reasons } = (await response.json()) as { tickError: string; reasons: { code: string }[] };
    return { status: response.status, tickError, codes: reasons.map(({ code }) => code) };
  };

  /** What `/attestation` gives, judged by a policy that accepts this root alone. */
  async function verdict({ url }: TestHost) {
    const file = new Uint8Array(await (await fetch(`${url}/attestation`)).arrayBuffer());
    const build = { name: 'simulated', measurement: '5a'.repeat(48), hostData: 'unused', vmpl: 0 };
    const policy = strictPolicy(
      {},
      {
        referenceValues: [{ ...build, idKeyDigest: 'unused', authorKeyDigest: 'unused' }],
        minimumTcb: 'any',
        minimumLaunchTcb: 'any',
        products: ['Milan'],
      },
    );
    const trustAnchors = await readTrustAnchors(Buffer.from(tsm.roots[0] as string), 'root');
    const result = await assess({ file, at: new Date(), trustAnchors, policy: parsePolicy(policy) });
    return { verdict: result.verdict, codes: result.findings.map(({ code }) => code) };
  }

  test('its host has them from the key service; what it attests is verified', async () => {
    const { host } = await start();
    await ready(host);
    expect(kds.requests.map((one) => one.split('?')[0]?.replace(/[0-9a-f]{128}/, 'CHIP'))).toEqual([
      '/vcek/v1/Milan/CHIP',
      '/vcek/v1/Milan/cert_chain',
    ]);
    expect(await verdict(host)).toEqual({ verdict: 'affirming', codes: [] });
  }, 60_000);

  test('the key service is down: not ready, with ENDORSEMENT_MISSING; up again: ready by itself', async () => {
    kds.always = reset;
    const { enclave, host } = await start();
    await until(async () => (await readyz(host)).tickError === 'ENDORSEMENT_MISSING');
    await until(() => kds.requests.length >= 3);
    expect(await readyz(host)).toEqual({
      status: 503,
      tickError: 'ENDORSEMENT_MISSING',
      codes: ['EVIDENCE_NOT_READY'],
    });
    expect((await enclave.status()).committed).toBe(0);
    expect(host.log.text).toContain('"code":"SERVICE_UNREACHABLE"');
    kds.always = null;
    await ready(host);
    expect(await verdict(host)).toEqual({ verdict: 'affirming', codes: [] });
  }, 60_000);

  test("a key service that gives another key's certificate: no evidence goes out until it tells the truth", async () => {
    const { authority, chipId, tcb } = (await loadChip(path.join(home, 'keys'))) ?? {};
    if (!authority || !chipId || !tcb) throw new Error('the mount has kept no chip');
    const publicKey = publicKeyOf(await generateVcekKey()); // a good certificate for this chip and TCB, of another key
    const lie = issueCertificate(
      vcekSpec({ product: 'Milan', tcb, chipId, publicKey, notBefore: new Date('2025-01-01') }),
      authority.ask.privateKey,
    );
    const { truth } = kds;
    kds.always = (res, req) => (req.url?.includes('cert_chain') ? truth(res, req) : answer(200, lie)(res, req));
    const { enclave, host } = await start();
    await until(() => host.log.text.includes('"code":"CERTIFICATE_INVALID"'));
    await until(() => kds.requests.length >= 4);
    expect(await enclave.status()).toMatchObject({ tickError: 'ENDORSEMENT_MISSING', committed: 0 });
    expect((await readyz(host)).status).toBe(503);
    kds.always = null;
    await ready(host);
    expect(await verdict(host)).toEqual({ verdict: 'affirming', codes: [] });
  }, 60_000);

  test("a whole chain made up around the chip's true key passes the enclave, and no verifier", async () => {
    const forger = (await loadChip(process.env['VERITEE_TEST_CHIP'] as string))?.authority;
    const { chipId, tcb, vcek } = (await loadChip(path.join(home, 'keys'))) ?? {};
    if (!forger || !chipId || !tcb || !vcek) throw new Error('no chip was kept');
    const [arkKey, askKey] = [forger.ark.privateKey, forger.ask.privateKey];
    const ark = issueCertificate(arkSpec('Milan', publicKeyOf(arkKey)), arkKey);
    const ask = issueCertificate(askSpec('Milan', publicKeyOf(askKey), publicKeyOf(arkKey)), arkKey);
    const publicKey = publicKeyOf(vcek.privateKey);
    const spec = vcekSpec({ product: 'Milan', tcb, chipId, publicKey, notBefore: new Date('2025-01-01') });
    const leaf = issueCertificate(spec, askKey);
    kds.always = (res, req) => answer(200, req.url?.includes('cert_chain') ? pem(ask) + pem(ark) : leaf)(res, req);
    const { host } = await start();
    await ready(host);
    expect(await verdict(host)).toEqual({ verdict: 'contraindicated', codes: ['CHAIN_UNTRUSTED'] });
  }, 60_000);
});
