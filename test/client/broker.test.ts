import { randomBytes } from 'node:crypto';
import { CompactEncrypt, decodeJwt, exportJWK, flattenedDecrypt, generateKeyPair, SignJWT } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { serveWeb, type WebServer } from '../../cli/web-server.ts';
import { Broker, type BrokerEvent, type BrokerOptions, type BrokerResource } from '../../client/broker/broker.ts';
import type { TokenKey } from '../../client/broker/grant.ts';
import { BrokerKeys } from '../../enclave/keys/broker.ts';
import { encodeKbsAttestation, type KbsTee, kbsReportData, type TeeKey } from '../../protocol/kbs.ts';
import { parseKeyId } from '../../protocol/sealed-model.ts';
import { type AppraisalPolicy, AUTHENTICITY, parsePolicy } from '../../verifier/index.ts';
import { type KeyPlatform, nitroPlatform, snpPlatform } from '../support/key-platform.ts';

const platforms: Record<KbsTee, KeyPlatform> = {} as never;
let tokenKey: TokenKey;
beforeAll(async () => {
  platforms.snp = await snpPlatform();
  platforms.nitro = await nitroPlatform();
  tokenKey = await generateKeyPair('ES256');
});

const PATH = 'acme/model-key/fraud';
const keyId = parseKeyId(`kbs:///${PATH}`)!;
const key = new Uint8Array(randomBytes(32));
let events: BrokerEvent[];
let now: Date;
let clock: number;
beforeEach(() => {
  events = [];
  now = new Date();
  clock = 0;
});

const other = (tee: KbsTee): AppraisalPolicy => {
  const { draft } = platforms[tee];
  const zero = '0a'.repeat(48);
  const changed = JSON.parse(JSON.stringify(draft));
  if (tee === 'snp') changed.sevSnp.referenceValues[0].measurement = zero;
  else changed.nitro.referenceValues[0].pcr0 = zero;
  return parsePolicy({ ...changed, id: 'another-build' });
};

const make = (resources: Record<string, BrokerResource>, options: Partial<BrokerOptions> = {}): Broker =>
  new Broker({
    resources: new Map(Object.entries(resources)),
    tokenKey,
    issuer: 'test',
    now: () => now,
    clock: () => clock,
    onEvent: (event) => events.push(event),
    ...options,
  });
const usual = (tee: KbsTee, options: Partial<BrokerOptions> = {}): Broker =>
  make({ [PATH]: { key, policy: platforms[tee].policy } }, options);

// ── One exchange by hand, each step of which can be changed ─────────────────────────────────────────────────────────

const url = 'http://broker.test/kbs/v0';
const post = (broker: Broker, path: string, body: string | Uint8Array<ArrayBuffer>, cookie = '') =>
  broker.handle(new Request(`${url}/${path}`, { method: 'POST', body, headers: { cookie } }));
const get = (broker: Broker, path: string, headers: Record<string, string>) =>
  broker.handle(new Request(`${url}/resource/${path}`, { headers }));
const cookieOf = (response: Response): string => response.headers.get('set-cookie')!.split(';')[0]!;

async function challenge(broker: Broker, tee: KbsTee) {
  const response = await post(broker, 'auth', JSON.stringify({ version: '0.4.0', tee, 'extra-params': '' }));
  expect(response.status).toBe(200);
  return { cookie: cookieOf(response), nonce: ((await response.json()) as { nonce: string }).nonce };
}

async function newTeeKey() {
  const { privateKey, publicKey } = await generateKeyPair('ECDH-ES+A256KW', { crv: 'P-256', extractable: true });
  const { x, y } = await exportJWK(publicKey);
  return { privateKey, teeKey: { kty: 'EC', crv: 'P-256', alg: 'ECDH-ES+A256KW', x: x!, y: y! } as TeeKey };
}

interface Changes {
  /** What the platform signs, when not the key and nonce that are sent. */
  readonly signed?: { readonly nonce?: string; readonly teeKey?: TeeKey };
  readonly sentNonce?: string;
  readonly platform?: KeyPlatform;
}

async function attestation(tee: KbsTee, nonce: string, teeKey: TeeKey, changes: Changes = {}): Promise<string> {
  const { signed = {}, sentNonce = nonce, platform = platforms[tee] } = changes;
  const binding = kbsReportData(signed.nonce ?? nonce, signed.teeKey ?? teeKey);
  const { report, chain } = await platform.attester.attestToBroker(binding);
  const evidence = tee === 'snp' ? { tee, report, chain } : { tee, document: report };
  return encodeKbsAttestation({ nonce: sentNonce, teeKey, evidence });
}

async function attested(broker: Broker, tee: KbsTee, changes: Changes = {}) {
  const { cookie, nonce } = await challenge(broker, tee);
  const { privateKey, teeKey } = await newTeeKey();
  const body = await attestation(tee, nonce, teeKey, changes);
  return { response: await post(broker, 'attest', body, cookie), body, cookie, nonce, privateKey, teeKey };
}

interface Problem {
  readonly status: number;
  readonly code: string;
  readonly findings?: readonly { readonly code: string; readonly claim: string; readonly policy: string }[];
}
async function refused(response: Response, status: number, code: string): Promise<Problem> {
  const body = (await response.json()) as Problem;
  expect(body).toMatchObject({ status, code });
  expect(response.status).toBe(status);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  return body;
}

describe.each(['snp', 'nitro'] as const)('an enclave on %s', (tee) => {
  let server: WebServer | undefined;
  afterEach(() => server?.close());

  const fetchKey = async (broker: Broker, id = keyId) => {
    server = await serveWeb((request) => broker.handle(request), { host: '127.0.0.1', port: 0 });
    return new BrokerKeys(new URL(server.url), platforms[tee].attester).key(id, AbortSignal.timeout(20_000));
  };

  test('gets the key when a policy affirms its evidence', async () => {
    expect(await fetchKey(usual(tee))).toEqual(key);
    expect(events.map(({ event, resource }) => [event, resource])).toEqual([
      ['challenged', null],
      ['attested', null],
      ['released', PATH],
    ]);
  });

  test('is refused when no policy does, and is told which check failed', async () => {
    const claim = tee === 'snp' ? 'MEASUREMENT' : 'PCR0';
    const broker = make({ [PATH]: { key, policy: other(tee) } });
    await expect(fetchKey(broker)).rejects.toMatchObject({
      code: 'MODEL_KEY_REFUSED',
      message: 'the key broker refused: BROKER_EVIDENCE_REFUSED, MEASUREMENT_UNKNOWN',
    });
    const { findings } = await refused((await attested(broker, tee)).response, 401, 'BROKER_EVIDENCE_REFUSED');
    expect(findings).toEqual([{ policy: 'another-build', code: 'MEASUREMENT_UNKNOWN', claim }]);
    expect(events.at(-1)).toMatchObject({ event: 'refused', code: 'BROKER_EVIDENCE_REFUSED', findings });
  });

  test('is given only the keys whose own policy affirms it', async () => {
    const strict = 'acme/model-key/strict';
    const broker = make({ [PATH]: { key, policy: platforms[tee].policy }, [strict]: { key, policy: other(tee) } });
    await expect(fetchKey(broker, parseKeyId(`kbs:///${strict}`)!)).rejects.toMatchObject({
      code: 'MODEL_KEY_REFUSED',
      message: 'the key broker refused: BROKER_RESOURCE_REFUSED, MEASUREMENT_UNKNOWN',
    });
    const { cookie } = await attested(broker, tee).then(({ response }) => ({ cookie: cookieOf(response) }));
    expect((await get(broker, PATH, { cookie })).status).toBe(200);
    await refused(await get(broker, strict, { cookie }), 403, 'BROKER_RESOURCE_REFUSED');
    await refused(await get(broker, 'acme/model-key/none', { cookie }), 404, 'BROKER_RESOURCE_UNKNOWN');
  });

  test('has one answer to a challenge, right or wrong', async () => {
    const broker = usual(tee);
    const good = await attested(broker, tee);
    expect(good.response.status).toBe(200);
    await refused(await post(broker, 'attest', good.body, good.cookie), 401, 'BROKER_SESSION_UNKNOWN');

    const { cookie, nonce } = await challenge(broker, tee);
    const { teeKey } = await newTeeKey();
    await refused(await post(broker, 'attest', '{}', cookie), 400, 'BROKER_REQUEST_INVALID');
    const body = await attestation(tee, nonce, teeKey);
    await refused(await post(broker, 'attest', body, cookie), 401, 'BROKER_SESSION_UNKNOWN');

    const two = await challenge(broker, tee);
    const sent = await attestation(tee, two.nonce, teeKey);
    const answers = await Promise.all([1, 2, 3].map(() => post(broker, 'attest', sent, two.cookie)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401]);
  });

  test('cannot answer with the evidence of another exchange', async () => {
    const broker = usual(tee);
    const earlier = await attested(broker, tee);
    const { cookie } = await challenge(broker, tee);
    await refused(await post(broker, 'attest', earlier.body, cookie), 400, 'BROKER_REQUEST_INVALID');

    const { response } = await attested(broker, tee, { signed: { nonce: earlier.nonce } });
    const { findings } = await refused(response, 401, 'BROKER_EVIDENCE_REFUSED');
    expect(findings?.map(({ code }) => code)).toEqual(['NONCE_MISMATCH']);
  });

  test('cannot have a key encrypted to another pair than the one in its evidence', async () => {
    const { teeKey } = await newTeeKey();
    const { response } = await attested(usual(tee), tee, { signed: { teeKey } });
    const { findings } = await refused(response, 401, 'BROKER_EVIDENCE_REFUSED');
    expect(findings?.map(({ code }) => code)).toEqual(['NONCE_MISMATCH']);
  });

  test('under a root that nobody named is refused', async () => {
    const stranger = tee === 'snp' ? await snpPlatform() : await nitroPlatform();
    const anchorless = parsePolicy({
      ...JSON.parse(JSON.stringify(platforms[tee].draft)),
      anchors: [{ builtin: tee === 'snp' ? 'amd' : 'aws' }],
    });
    const broker = make({ [PATH]: { key, policy: anchorless } });
    const { findings } = await refused(
      (await attested(broker, tee, { platform: stranger })).response,
      401,
      'BROKER_EVIDENCE_REFUSED',
    );
    expect(findings?.[0]).toMatchObject({ code: 'CHAIN_UNTRUSTED' });
  });

  test('may show the token instead of the cookie, while it lasts; it is bound to the TEE key', async () => {
    const broker = usual(tee);
    const { response, privateKey, teeKey } = await attested(broker, tee);
    const { token } = (await response.json()) as { token: string };
    const claims = decodeJwt(token);
    expect(claims).toMatchObject({ iss: 'test', cnf: { jwk: teeKey }, 'tee-pubkey': teeKey });
    expect(claims.exp! - claims.iat!).toBe(300);
    expect(JSON.stringify(claims)).not.toContain(Buffer.from(key).toString('base64url'));

    const jwe = (await (await get(broker, PATH, { authorization: `Bearer ${token}` })).json()) as never;
    expect((await flattenedDecrypt(jwe, privateKey)).plaintext).toEqual(key);
    await expect(flattenedDecrypt(jwe, (await newTeeKey()).privateKey)).rejects.toThrow();

    now = new Date(now.getTime() + 301_000);
    await refused(await get(broker, PATH, { authorization: `Bearer ${token}` }), 401, 'BROKER_SESSION_UNKNOWN');
  });
});

test('tokens of others, unsigned or altered, open nothing', async () => {
  const broker = usual('snp');
  const { teeKey } = await newTeeKey();
  const claims = { tee: 'snp', 'tee-pubkey': teeKey, policies: [] };
  const sign = async (alg: string, with_: Parameters<SignJWT['sign']>[0], issuer = 'test') =>
    new SignJWT(claims).setProtectedHeader({ alg }).setIssuer(issuer).setExpirationTime('5m').sign(with_);
  const none = [{ alg: 'none' }, { ...claims, iss: 'test', exp: 4e9 }]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  const strangers = await generateKeyPair('ES256');
  for (const token of [
    `${none}.`,
    await sign('ES256', strangers.privateKey),
    await sign('ES256', tokenKey.privateKey, 'another'),
    await sign('HS256', new Uint8Array(32)),
    'a.b.c',
    await new CompactEncrypt(new Uint8Array(8))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
      .encrypt(new Uint8Array(32)),
  ]) {
    await refused(await get(broker, PATH, { authorization: `Bearer ${token}` }), 401, 'BROKER_SESSION_UNKNOWN');
  }
});

describe('the door', () => {
  test('knows three routes and their methods', async () => {
    const broker = usual('snp');
    const status = async (method: string, path: string) =>
      (await broker.handle(new Request(`http://broker.test${path}`, { method }))).status;
    expect(await status('GET', '/')).toBe(404);
    expect(await status('GET', '/kbs/v1/auth')).toBe(404);
    expect(await status('GET', '/kbs/v0/auth')).toBe(405);
    expect(await status('GET', '/kbs/v0/attest')).toBe(405);
    expect(await status('POST', `/kbs/v0/resource/${PATH}`)).toBe(405);
    expect(await status('POST', '/kbs/v0/attestation-policy')).toBe(404);
  });

  test('gives nothing before attestation, whatever the path', async () => {
    const broker = usual('snp');
    for (const path of [PATH, 'none/such/key', '%2fetc%2fpasswd', '?x']) {
      await refused(await get(broker, path, {}), 401, 'BROKER_SESSION_UNKNOWN');
    }
    const { cookie } = await challenge(broker, 'snp');
    await refused(await get(broker, PATH, { cookie }), 401, 'BROKER_SESSION_UNKNOWN');
  });

  test('a challenge and a session end after five minutes', async () => {
    const broker = usual('snp');
    const early = await challenge(broker, 'snp');
    const { teeKey } = await newTeeKey();
    const body = await attestation('snp', early.nonce, teeKey);
    clock += 300_000;
    await refused(await post(broker, 'attest', body, early.cookie), 401, 'BROKER_SESSION_UNKNOWN');

    const cookie = cookieOf((await attested(broker, 'snp')).response);
    expect((await get(broker, PATH, { cookie })).status).toBe(200);
    clock += 300_000;
    await refused(await get(broker, PATH, { cookie }), 401, 'BROKER_SESSION_UNKNOWN');
  });

  test('holds so many challenges and no more', async () => {
    const broker = usual('snp', { limits: { maxSessions: 2 } });
    await challenge(broker, 'snp');
    await challenge(broker, 'snp');
    const ask = () => post(broker, 'auth', JSON.stringify({ version: '0.4.0', tee: 'snp' }));
    await refused(await ask(), 503, 'QUEUE_FULL');
    clock += 300_000;
    expect((await ask()).status).toBe(200);
  });

  test('takes so many requests at once, and so many a second', async () => {
    const broker = usual('snp', { limits: { burst: 3, perSecond: 2 } });
    const ask = async () => (await post(broker, 'auth', JSON.stringify({ version: '0.4.0', tee: 'snp' }))).status;
    expect([await ask(), await ask(), await ask(), await ask()]).toEqual([200, 200, 200, 503]);
    clock += 500;
    expect([await ask(), await ask()]).toEqual([200, 503]);
    clock += 60_000;
    expect([await ask(), await ask(), await ask(), await ask()]).toEqual([200, 200, 200, 503]);
  });

  test('reads no more than a quarter of a mebibyte, announced or not', async () => {
    const broker = usual('snp');
    const { cookie } = await challenge(broker, 'snp');
    await refused(await post(broker, 'attest', new Uint8Array(300 << 10), cookie), 413, 'REQUEST_TOO_LARGE');
    let pulled = 0;
    const endless = new ReadableStream({
      pull: (controller) => {
        pulled += 1;
        controller.enqueue(new Uint8Array(64 << 10));
      },
    });
    const request = new Request(`${url}/auth`, { method: 'POST', body: endless, duplex: 'half' } as RequestInit);
    await refused(await broker.handle(request), 413, 'REQUEST_TOO_LARGE');
    expect(pulled).toBeLessThan(20);
  });

  test('a point off the curve is no key', async () => {
    const broker = usual('snp');
    const { cookie, nonce } = await challenge(broker, 'snp');
    const { teeKey } = await newTeeKey();
    const y = Buffer.from(teeKey.y, 'base64url');
    y[31]! ^= 1;
    const off = { ...teeKey, y: y.toString('base64url') };
    const body = await attestation('snp', nonce, off);
    await refused(await post(broker, 'attest', body, cookie), 400, 'BROKER_REQUEST_INVALID');
  });

  test('evidence of the other platform than was announced is refused', async () => {
    const broker = usual('nitro');
    const { cookie, nonce } = await challenge(broker, 'nitro');
    const { teeKey } = await newTeeKey();
    const { report } = await platforms.snp.attester.attestToBroker(kbsReportData(nonce, teeKey));
    const body = encodeKbsAttestation({ nonce, teeKey, evidence: { tee: 'nitro', document: report } });
    const { findings } = await refused(await post(broker, 'attest', body, cookie), 401, 'BROKER_EVIDENCE_REFUSED');
    expect(findings?.map(({ code }) => code)).toEqual(['EVIDENCE_MALFORMED']);
  });

  test('hostile bodies are refused by code', async () => {
    const broker = usual('snp');
    const deep = '['.repeat(10_000);
    for (const body of ['', '{', 'null', '[]', '"x"', deep, '{"a":1,"a":2}', '\u0000', randomBytes(1000)]) {
      await refused(await post(broker, 'auth', body), 400, 'BROKER_REQUEST_INVALID');
      const { cookie } = await challenge(broker, 'snp');
      await refused(await post(broker, 'attest', body, cookie), 400, 'BROKER_REQUEST_INVALID');
    }
  });

  test('a defect is told by its kind, and answers with no word of it', async () => {
    const broker = usual('snp', {
      now: () => {
        throw new RangeError('quotes a request');
      },
    });
    const { response } = await attested(broker, 'snp');
    expect(await response.text()).not.toContain('quotes');
    expect(response.status).toBe(500);
    expect(events.at(-1)).toMatchObject({ event: 'failed', code: 'INTERNAL', defect: 'RangeError' });
    expect(JSON.stringify(events)).not.toContain('quotes');
  });

  test('a broker without keys, or with a short one, is a mistake', () => {
    expect(() => make({})).toThrow(TypeError);
    expect(() => make({ [PATH]: { key: new Uint8Array(16), policy: platforms.snp.policy } })).toThrow(TypeError);
  });
});

test.each(['sevSnp', 'nitro'] as const)(
  'a policy that takes any program, on %s, is refused before anything is served',
  (name) => {
    const tee = name === 'nitro' ? 'nitro' : 'snp';
    const draft = JSON.parse(JSON.stringify(platforms[tee].draft));
    draft[name].referenceValues = 'any-unidentified-program';
    const open = { key, policy: parsePolicy(draft) };
    expect(() => make({ [PATH]: open })).toThrow(expect.objectContaining({ code: 'POLICY_INVALID', field: PATH }));
    expect(() => make({ [PATH]: { key, policy: AUTHENTICITY } })).toThrow(
      expect.objectContaining({ code: 'POLICY_INVALID' }),
    );
  },
);
