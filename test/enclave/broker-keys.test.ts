import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, FlattenedEncrypt, generateKeyPair, importJWK } from 'jose';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { KeyRequester } from '../../enclave/attester/attester.ts';
import { BrokerKeys } from '../../enclave/keys/broker.ts';
import { hex } from '../../protocol/bytes.ts';
import { kbsReportData } from '../../protocol/kbs.ts';
import { parseKeyId } from '../../protocol/sealed-model.ts';

const keyId = parseKeyId('kbs:///acme/model-key/fraud')!;
const key = new Uint8Array(randomBytes(32));
const NONCE = Buffer.alloc(32, 7).toString('base64');

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly cookie: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: what the enclave sent, looked at member by member
  readonly body: any;
}
type Step = 'auth' | 'attest' | 'resource';
type Answer = (res: ServerResponse, seen: Seen) => unknown;

let server: Server;
let url: URL;
let seen: Seen[];
let answers: Partial<Record<Step, Answer>>;
const bound: string[] = [];
const platform: KeyRequester = {
  format: 'sev-snp-report',
  attestToBroker: async (reportData) => {
    bound.push(hex(reportData));
    return { report: new Uint8Array(1184), chain: [new Uint8Array(3), new Uint8Array(4)], crls: [] };
  },
};
const send = (body: unknown, status = 200, headers: Record<string, string> = {}): Answer => {
  return (res) => res.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
};
const teeKeyOf = () => seen.find(({ url: path }) => path.endsWith('/attest'))!.body['runtime-data']['tee-pubkey'];
const encrypted = async (plaintext: Uint8Array, to: Record<string, string>, alg = 'ECDH-ES+A256KW', enc = 'A256GCM') =>
  new FlattenedEncrypt(plaintext).setProtectedHeader({ alg, enc }).encrypt(await importJWK(to, alg));

const good: Record<Step, Answer> = {
  auth: send({ nonce: NONCE, 'extra-params': '' }, 200, { 'set-cookie': 'kbs-session-id=abc-1; Path=/; HttpOnly' }),
  attest: send({ token: 'a.b.c' }),
  resource: async (res) => res.end(JSON.stringify(await encrypted(key, teeKeyOf()))),
};

beforeEach(async () => {
  seen = [];
  answers = {};
  bound.length = 0;
  server = createServer(async (req: IncomingMessage, res) => {
    const parts: Uint8Array[] = [];
    for await (const part of req) parts.push(part as Uint8Array);
    const text = Buffer.concat(parts).toString();
    const one = {
      method: req.method ?? '',
      url: req.url ?? '',
      cookie: req.headers.cookie,
      body: text === '' ? null : JSON.parse(text),
    };
    seen.push(one);
    const step: Step = one.url.includes('/resource/') ? 'resource' : one.url.endsWith('/auth') ? 'auth' : 'attest';
    await (answers[step] ?? good[step])(res, one);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
});
afterEach(() => {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(resolve));
});
const ask = (timeoutMs = 20_000) => new BrokerKeys(url, platform).key(keyId, AbortSignal.timeout(timeoutMs));

describe('an exchange', () => {
  test('is three requests in one session, with evidence over its nonce and key pair', async () => {
    expect(await ask()).toEqual(key);
    expect(seen.map(({ method, url: path, cookie }) => [method, path, cookie])).toEqual([
      ['POST', '/kbs/v0/auth', undefined],
      ['POST', '/kbs/v0/attest', 'kbs-session-id=abc-1'],
      ['GET', '/kbs/v0/resource/acme/model-key/fraud', 'kbs-session-id=abc-1'],
    ]);
    expect(seen[0]!.body).toMatchObject({ version: '0.4.0', tee: 'snp' });
    expect(seen[1]!.body['runtime-data'].nonce).toBe(NONCE);
    expect(bound).toEqual([hex(kbsReportData(NONCE, teeKeyOf()))]);
    expect(Object.keys(teeKeyOf())).not.toContain('d');
  });

  test('makes a key pair of its own each time', async () => {
    await ask();
    const first = teeKeyOf().x;
    seen = [];
    await ask();
    expect(teeKeyOf().x).not.toBe(first);
  });

  test('goes on in a session that is renewed at the second step', async () => {
    answers.attest = send({ token: 'a.b.c' }, 200, { 'set-cookie': 'kbs-session-id=renewed' });
    await ask();
    expect(seen[2]!.cookie).toBe('kbs-session-id=renewed');
  });

  test('reads a broker below a path', async () => {
    await new BrokerKeys(new URL('/broker/', url), platform).key(keyId, AbortSignal.timeout(20_000));
    expect(seen[0]!.url).toBe('/broker/kbs/v0/auth');
  });
});

describe('an answer that is not what it should be', () => {
  const stranger = async () => exportJWK((await generateKeyPair('ECDH-ES+A256KW', { crv: 'P-256' })).publicKey);
  const resource =
    (change: (jwe: Record<string, string>) => unknown): Answer =>
    async (res) =>
      res.end(JSON.stringify(change((await encrypted(key, teeKeyOf())) as never)));
  const withHeader = (changes: object) =>
    resource((jwe) => {
      const header = JSON.parse(Buffer.from(jwe['protected']!, 'base64url').toString());
      return { ...jwe, protected: Buffer.from(JSON.stringify({ ...header, ...changes })).toString('base64url') };
    });

  test.each<[string, Partial<Record<Step, Answer>>]>([
    ['no session', { auth: send({ nonce: NONCE }) }],
    ['another cookie', { auth: send({ nonce: NONCE }, 200, { 'set-cookie': 'kbs-session=1' }) }],
    ['no JSON', { auth: send('<html>', 200, { 'set-cookie': 'kbs-session-id=a' }) }],
    ['no nonce', { auth: send({}, 200, { 'set-cookie': 'kbs-session-id=a' }) }],
    [
      'a nonce that is more than base64',
      { auth: send({ nonce: '","x":"' }, 200, { 'set-cookie': 'kbs-session-id=a' }) },
    ],
    ['no token', { attest: send({}) }],
    ['an endless answer', { attest: (res) => void res.writeHead(200).write('x'.repeat(300 << 10)) }],
    ['nested JSON', { attest: send('['.repeat(100_000)) }],
    ['a resource in the clear', { resource: send({ key: Buffer.from(key).toString('base64') }) }],
    ['a resource as bytes', { resource: (res) => res.end(key) }],
    [
      'a key encrypted to someone else',
      { resource: async (res) => res.end(JSON.stringify(await encrypted(key, (await stranger()) as never))) },
    ],
    ['a changed tag', { resource: resource((jwe) => ({ ...jwe, tag: 'A'.repeat(22) })) }],
    ['additional data of its own', { resource: resource((jwe) => ({ ...jwe, aad: 'AAAA' })) }],
    ['another algorithm', { resource: withHeader({ alg: 'dir' }) }],
    ['PBES2 with a billion rounds', { resource: withHeader({ alg: 'PBES2-HS256+A128KW', p2c: 1e9, p2s: 'AAAA' }) }],
    ['CBC', { resource: withHeader({ enc: 'A256CBC-HS512' }) }],
    ['compression', { resource: withHeader({ zip: 'DEF' }) }],
    ['a critical extension', { resource: withHeader({ crit: ['exp'], exp: 1 }) }],
    [
      'a point off the curve',
      { resource: withHeader({ epk: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) } }) },
    ],
  ])('%s', async (_what, changed) => {
    answers = changed;
    await expect(ask()).rejects.toMatchObject({ code: 'BROKER_ANSWER_INVALID' });
  });

  test.each<[string, Answer]>([
    ['500', send('', 500)],
    ['429', send('', 429)],
    ['503 of a broker that is busy', send({ code: 'QUEUE_FULL' }, 503)],
    ['a redirect to another place', send('', 302, { location: 'http://127.0.0.1:1/' })],
    ['a broken connection', (res) => res.destroy()],
    ['half an answer', (res) => res.writeHead(200, { 'content-length': '100' }).end('{}')],
  ])('may be another one later: %s', async (_what, answer) => {
    for (const step of ['auth', 'attest', 'resource'] as const) {
      answers = { [step]: answer };
      await expect(ask(), step).rejects.toMatchObject({ code: 'BROKER_UNREACHABLE' });
    }
  });

  test('is not waited for longer than it may take', async () => {
    answers.auth = () => undefined;
    await expect(ask(200)).rejects.toMatchObject({
      code: 'BROKER_UNREACHABLE',
      message: expect.stringContaining('no answer in time'),
    });
  });
});

describe('a refusal', () => {
  test('names the broker’s findings, as far as they are codes', async () => {
    const findings = [{ code: 'TCB_BELOW_MINIMUM' }, { code: 'rm -rf' }, 5, { code: 'TCB_BELOW_MINIMUM' }, {}];
    answers.attest = send({ code: 'BROKER_EVIDENCE_REFUSED', detail: 'a secret', findings }, 401);
    await expect(ask()).rejects.toMatchObject({
      code: 'MODEL_KEY_REFUSED',
      message: 'the key broker refused: BROKER_EVIDENCE_REFUSED, TCB_BELOW_MINIMUM',
    });
  });

  test.each([
    ['HTML', '<html>secret</html>'],
    ['Trustee’s ErrorInformation', '{"type":"https://…","detail":"secret"}'],
    ['an array', '["secret"]'],
    ['nothing', ''],
  ])('in other words has its status: %s', async (_what, body) => {
    answers.attest = send(body, 401);
    await expect(ask()).rejects.toMatchObject({ message: 'the key broker refused: status 401' });
  });
});
