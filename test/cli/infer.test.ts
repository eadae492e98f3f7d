import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeReceipt, parseAttestation, parseReceipt } from '../../protocol/files.ts';
import { parseInferResponse } from '../../protocol/inference.ts';
import { draftPolicyFor, type Ended, type Served, serve, temporaryFolder, veritee } from '../support/cli.ts';
import { ask, boots } from '../support/load.ts';
import { ROOT } from '../support/shared.ts';
import {
  forward,
  isAttestation,
  isInfer,
  isReceipt,
  isSealed,
  type Lie,
  type LyingHost,
  lyingHost,
  type Reply,
} from './lying-host.ts';
import { EXAMPLE, jsonOf, readBytes, refusalOf } from './support.ts';

const MODEL = 'heat-stress';
const { folder, remove } = temporaryFolder();
let served: Served;
let policy: string;

beforeAll(async () => {
  // A second model beside the first, for a host that would rather run that one.
  const sample = path.join(ROOT, 'enclave/sample-models', MODEL);
  cpSync(sample, path.join(folder, 'models', MODEL), { recursive: true });
  cpSync(sample, path.join(folder, 'models', 'other'), { recursive: true });
  served = await serve(path.join(folder, 'data'), [
    ...['--models', path.join(folder, 'models'), '--allow-plaintext', '--log-level', 'error'],
  ]);
  policy = await draftPolicyFor(served);
});
afterAll(async () => {
  expect(await served?.stop()).toBe(0);
  remove();
});

const put = (name: string, content: string): string => {
  writeFileSync(path.join(folder, name), content);
  return path.join(folder, name);
};

interface Call {
  readonly url?: string;
  readonly model?: string;
  readonly input?: string;
  readonly policy?: string;
}

const args = (call: Call = {}, ...more: readonly string[]): string[] => [
  ...['infer', '--url', call.url ?? served.url, '--model', call.model ?? MODEL, '--input', call.input ?? EXAMPLE],
  ...['--policy', call.policy ?? policy, ...more],
];

describe.concurrent('an answer', () => {
  test('for people: the outputs on stdout, what was proved on stderr', async () => {
    const ran = await veritee(args());
    expect(ran.status, ran.stderr).toBe(0);
    expect(ran.stdout).toMatch(/^probabilities FP32 \[4,4\]: [\d.e-]+, /);
    expect(ran.stderr).toContain('answers a fresh nonce');
    expect(ran.stderr).toContain('the host cannot read it');
    expect(ran.stderr).not.toContain('in the clear');
    expect(ran.stderr).toContain('SIMULATED PLATFORM');
    expect(ran.stderr).toContain('affirming, session-signed');
  });

  test('for programs: one JSON object', async () => {
    const ran = await veritee(args({ model: `${MODEL}/1` }, '--wait-for', 'hardware', '--json'));
    expect(ran.status, ran.stderr).toBe(0);
    expect(jsonOf(ran)).toMatchObject({
      verdict: 'affirming',
      strength: 'hardware-committed',
      platform: 'simulated-snp',
      findings: [],
      receiptId: expect.stringMatching(/^[0-9a-f]{32}$/),
      outputs: [{ name: 'probabilities', datatype: 'FP32', shape: [4, 4], data: expect.any(Array) }, {}, {}],
    });
  });

  test('the host sees sealed bytes; in the clear only when asked to, and that is said aloud', async () => {
    const host = await lyingHost(served.url, {});
    const sealed = await veritee(args({ url: host.url }, '--json'));
    expect(sealed.status, sealed.stderr).toBe(0);
    expect(host.paths).toEqual([expect.stringMatching(/^\/attestation\?nonce=/), '/ohttp']);
    const clear = await veritee(args({ url: host.url }, '--allow-plaintext'));
    expect(clear.status, clear.stderr).toBe(0);
    expect(clear.stderr).toMatch(/^!! --allow-plaintext: .* in the clear/m);
    expect(host.paths.slice(2)).toEqual([expect.stringMatching(/^\/attestation/), `/v2/models/${MODEL}/infer`]);
    await host.close();
  });

  test('a policy that asks for hardware waits for it without being told', async () => {
    const strict = { ...JSON.parse(readFileSync(policy, 'utf8')), strength: 'hardware-committed' };
    const ran = await veritee(args({ policy: put('strict.json', JSON.stringify(strict)) }, '--json'));
    expect(ran.status, ran.stderr).toBe(0);
    expect(jsonOf(ran)['strength']).toBe('hardware-committed');
  });

  test('is kept in four files that only their owner can read, and the receipt verifies', async () => {
    const kept = path.join(folder, 'kept');
    mkdirSync(kept);
    const receipt = path.join(kept, 'r.veritee');
    writeFileSync(receipt, 'an older receipt', { mode: 0o644 });
    const ran = await veritee(args({}, '--receipt-out', receipt, '--wait-for', 'hardware'));
    expect(ran.status, ran.stderr).toBe(0);
    const names = readdirSync(kept).sort();
    expect(names).toEqual(['r.veritee', 'r.veritee.private.json', 'r.veritee.request', 'r.veritee.response']);
    for (const name of names) expect(statSync(path.join(kept, name)).mode & 0o777, name).toBe(0o600);
    expect(readBytes(`${receipt}.request`)).toEqual(readBytes(EXAMPLE));
    const salts = JSON.parse(readFileSync(`${receipt}.private.json`, 'utf8'));
    expect(Object.keys(salts)).toEqual(['receiptId', 'requestSalt', 'responseSalt']);
    const verified = await veritee([
      ...['verify', receipt, '--policy', policy, '--request', EXAMPLE, '--request-salt', salts.requestSalt],
      ...['--response', `${receipt}.response`, '--response-salt', salts.responseSalt],
    ]);
    expect(verified.status, verified.stdout).toBe(0);
  });

  test('the same in binary tensors, with the id and the outputs that were asked for', async () => {
    const request = { ...JSON.parse(readFileSync(EXAMPLE, 'utf8')), id: 'seven', outputs: [{ name: 'category' }] };
    const input = put('wanted.json', JSON.stringify(request));
    const ran: Ended[] = [];
    for (const flags of [[], ['--binary']]) {
      const receipt = path.join(folder, `b${flags.length}.veritee`);
      ran.push(await veritee(args({ input }, '--json', '--receipt-out', receipt, ...flags)));
    }
    const [json, binary] = ran as [Ended, Ended];
    expect([json.status, binary.status], binary.stderr).toEqual([0, 0]);
    expect(jsonOf(json)['outputs']).toMatchObject([{ name: 'category', shape: [4] }]);
    expect(jsonOf(binary)['outputs']).toEqual(jsonOf(json)['outputs']);
    const { responseJsonLength } = jsonOf(binary)['claims'] as { responseJsonLength: number };
    const response = readBytes(path.join(folder, 'b1.veritee.response'));
    expect(parseInferResponse(response, responseJsonLength).outputs).toMatchObject([{ name: 'category' }]);
    expect(response.length).toBeGreaterThan(responseJsonLength);
    expect(new TextDecoder().decode(response)).toContain('"id":"seven"');
  });
});

describe.concurrent('what never gets to the service', () => {
  /** Runs the command against a host that counts what it is asked. */
  async function refusedUnasked(call: Call, flags: readonly string[], expected: { status: number; code: string }) {
    const host = await lyingHost(served.url, {});
    try {
      expect(await refusalOf(args({ url: host.url, ...call }, ...flags))).toEqual(expected);
      expect(host.paths.filter((asked) => /^\/(v2|ohttp)/.test(asked))).toEqual([]);
      return host.paths;
    } finally {
      await host.close();
    }
  }

  test('a policy for another program: attested, refused, nothing sent', async () => {
    const other = JSON.parse(readFileSync(policy, 'utf8'));
    other.sevSnp.referenceValues[0].measurement = '5a'.repeat(48);
    const paths = await refusedUnasked({ policy: put('other.json', JSON.stringify(other)) }, [], {
      status: 1,
      code: 'MEASUREMENT_UNKNOWN',
    });
    expect(paths).toEqual([expect.stringMatching(/^\/attestation\?nonce=[0-9a-f]{64}$/)]);
    const human = await veritee(args({ policy: path.join(folder, 'other.json') }));
    expect(human).toMatchObject({ status: 1, stdout: '' });
    expect(human.stderr).toContain('✗ MEASUREMENT_UNKNOWN');
  });

  test('a policy without the simulated root', async () => {
    const real = { ...JSON.parse(readFileSync(policy, 'utf8')), anchors: [{ builtin: 'amd' }] };
    const file = put('real.json', JSON.stringify(real));
    await refusedUnasked({ policy: file }, [], { status: 1, code: 'CHAIN_UNTRUSTED' });
    const root = path.join(served.data, 'simulated-snp-ark.pem');
    expect((await veritee(args({ policy: file }, '--trust-anchor', root))).status).toBe(0);
  });

  test.each<[string, Call, string[], string]>([
    ['a policy that is not there', { policy: 'nothing.json' }, [], 'FILE_UNREADABLE'],
    ['a policy that is none', { policy: EXAMPLE }, [], 'POLICY_INVALID'],
    ['the built-in policy, which knows no program', { policy: 'builtin:authenticity' }, [], 'USAGE'],
    ['a request that is not there', { input: 'nothing.json' }, [], 'FILE_UNREADABLE'],
    ['a model without a name', { model: '/1' }, [], 'USAGE'],
    ['a model with too many parts', { model: 'a/1/b' }, [], 'USAGE'],
    ['something to wait for that there is not', {}, ['--wait-for', 'godot'], 'USAGE'],
    ['an anchor that is none', {}, ['--trust-anchor', EXAMPLE], 'TRUST_ANCHOR_INVALID'],
    ['a receipt that could not be kept', {}, ['--receipt-out', '/nowhere/r.veritee'], 'FILE_UNWRITABLE'],
    ['a receipt where a folder is', {}, ['--receipt-out', ROOT], 'FILE_UNWRITABLE'],
    ['a URL of another kind', { url: 'ftp://127.0.0.1/' }, [], 'USAGE'],
    ['a URL with a password', { url: 'http://me:secret@127.0.0.1/' }, [], 'USAGE'],
  ])('%s', async (_what, call, flags, code) => {
    expect(await refusedUnasked(call, flags, { status: 2, code })).toEqual([]);
  });

  test('a call without its required flags', async () => {
    const missing = ['infer', '--url', served.url, '--model', MODEL, '--input', EXAMPLE];
    expect(await refusalOf(missing)).toEqual({ status: 2, code: 'USAGE' });
    expect(await refusalOf(['infer', '--policy', policy])).toEqual({ status: 2, code: 'USAGE' });
  });

  test('where one of the four files cannot be written, none is', async () => {
    const receipt = path.join(folder, 'blocked', 'r.veritee');
    mkdirSync(`${receipt}.response`, { recursive: true });
    await refusedUnasked({}, ['--receipt-out', receipt], { status: 2, code: 'FILE_UNWRITABLE' });
    expect(readdirSync(path.dirname(receipt))).toEqual(['r.veritee.response']);
  });

  test('a request that binary tensors cannot be made of', async () => {
    await refusedUnasked({ input: put('no.json', '{"inputs": [') }, ['--binary'], {
      status: 1,
      code: 'JSON_MALFORMED',
    });
  });
});

describe.concurrent('a service that is not there', () => {
  test('exit 3, with JSON and without', async () => {
    const gone = await lyingHost(served.url, {});
    const nobody = gone.url;
    await gone.close();
    expect(await refusalOf(args({ url: nobody }))).toEqual({ status: 3, code: 'SERVICE_UNREACHABLE' });
    const human = await veritee(args({ url: nobody }));
    expect(human).toMatchObject({ status: 3, stdout: '' });
    expect(human.stderr).toContain('SERVICE_UNREACHABLE');
  });

  test('another server in its place', async () => {
    const other = createServer((_req, res) => res.writeHead(404, { 'content-type': 'text/html' }).end('<h1>no</h1>'));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    expect(await refusalOf(args({ url }))).toEqual({ status: 1, code: 'SERVICE_REFUSED' });
    other.close();
  });
});

describe.concurrent('a request that the service refuses: its code, exit 1', () => {
  const wrongShape = () => {
    const request = JSON.parse(readFileSync(EXAMPLE, 'utf8'));
    return put('shape.json', JSON.stringify({ inputs: [{ ...request.inputs[0], shape: [1, 2], data: [1, 2] }] }));
  };
  test.each<[string, () => Call, string]>([
    ['an unknown model', () => ({ model: 'nosuch' }), 'MODEL_UNKNOWN'],
    ['an unknown version', () => ({ model: `${MODEL}/7` }), 'MODEL_VERSION_UNKNOWN'],
    ['a wrong shape', () => ({ input: wrongShape() }), 'TENSOR_SHAPE_MISMATCH'],
    ['no JSON', () => ({ input: policy.replace('test-policy.json', 'simulated-snp-ark.pem') }), 'JSON_MALFORMED'],
  ])('%s', async (_what, call, code) => {
    const out = path.join(folder, `refused-${code}`);
    expect(await refusalOf(args(call(), '--receipt-out', out))).toEqual({ status: 1, code });
    expect(existsSync(out)).toBe(false);
  });
});

/** In the clear, where the host reads and can change the most. */
describe.concurrent('a host that lies', () => {
  const running: LyingHost[] = [];
  afterAll(() => Promise.all(running.map((host) => host.close())));

  async function under(lie: Lie, flags: readonly string[] = [], call: Call = {}) {
    const host = await lyingHost(served.url, lie);
    running.push(host);
    const { status, code } = await refusalOf(args({ url: host.url, ...call }, '--allow-plaintext', ...flags));
    return { status, code, paths: host.paths };
  }
  const answers = (change: (reply: Reply) => void | Promise<void>): Lie => ({
    reply: (reply, asked) => (isInfer(asked) ? change(reply) : undefined),
  });
  /** What the service answers to somebody else, to be served again. */
  const another = async (): Promise<Reply> =>
    forward(served.url, {
      method: 'POST',
      url: `/v2/models/${MODEL}/infer`,
      headers: { 'veritee-nonce': '11'.repeat(32), 'content-type': 'application/json' },
      body: readFileSync(EXAMPLE),
    });
  const badInput = () => ({ input: put('bad-input.json', '{"inputs": []}') });

  test.each<[string, () => Lie, string, (() => Call)?]>([
    [
      'about the answer',
      () =>
        answers((reply) => {
          reply.body = Buffer.from(reply.body.toString().replace('"data":[', '"data":[0.'));
        }),
      'RESPONSE_MISMATCH',
    ],
    [
      'to the enclave about the request',
      () => ({
        request: (asked) => {
          if (isInfer(asked)) asked.body = Buffer.concat([asked.body, Buffer.from(' ')]);
        },
      }),
      'REQUEST_MISMATCH',
    ],
    [
      'to the enclave about the model',
      () => ({
        request: (asked) => {
          asked.url = asked.url.replace(MODEL, 'other');
        },
      }),
      'MODEL_MISMATCH',
    ],
    [
      'to the enclave about the nonce',
      () => ({
        request: (asked) => {
          if (isInfer(asked)) delete asked.headers['veritee-nonce'];
        },
      }),
      'NONCE_MISMATCH',
    ],
    [
      'to the enclave about the media type',
      () => ({
        request: (asked) => {
          if (isInfer(asked)) asked.headers['content-type'] = 'text/plain';
        },
      }),
      'REQUEST_MISMATCH',
    ],
    [
      'that a refusal is an answer',
      () =>
        answers((reply) => {
          reply.status = 200;
        }),
      'TENSOR_MISSING',
      badInput,
    ],
    [
      'that an answer is a failure',
      () =>
        answers((reply) => {
          reply.status = 500;
        }),
      'SERVICE_ANSWER_INVALID',
    ],
    [
      'about which salt is which',
      () =>
        answers(({ headers }) => {
          const { 'veritee-request-salt': request = '', 'veritee-response-salt': response = '' } = headers;
          headers['veritee-request-salt'] = response;
          headers['veritee-response-salt'] = request;
        }),
      'REQUEST_MISMATCH',
    ],
    [
      'with a salt cut short',
      () =>
        answers(({ headers }) => {
          headers['veritee-response-salt'] = headers['veritee-response-salt']?.slice(2) ?? '';
        }),
      'SERVICE_ANSWER_INVALID',
    ],
    [
      'with the statement of another answer',
      () =>
        answers(async ({ headers }) => {
          headers['veritee-statement'] = (await another()).headers['veritee-statement'] ?? '';
        }),
      'NONCE_MISMATCH',
    ],
    [
      'with an old answer, whole',
      () => answers(async (reply) => void Object.assign(reply, await another())),
      'NONCE_MISMATCH',
    ],
    [
      'with an altered statement',
      () =>
        answers(({ headers }) => {
          const statement = Buffer.from(headers['veritee-statement'] ?? '', 'base64url');
          statement[statement.length - 1]! ^= 1;
          headers['veritee-statement'] = statement.toString('base64url');
        }),
      'STATEMENT_INVALID',
    ],
    [
      'with a statement that is none',
      () =>
        answers(({ headers }) => {
          headers['veritee-statement'] = 'AAAA';
        }),
      'EVIDENCE_MALFORMED',
    ],
    [
      'with no statement',
      () =>
        answers(({ headers }) => {
          delete headers['veritee-statement'];
        }),
      'SERVICE_ANSWER_INVALID',
    ],
    [
      'about how long the JSON part is',
      () =>
        answers(({ headers }) => {
          headers['inference-header-content-length'] = '10';
        }),
      'RESPONSE_MISMATCH',
    ],
    [
      'that the service has moved',
      () =>
        answers((reply) => {
          reply.status = 307;
          reply.headers['location'] = `${served.url}/v2/models/${MODEL}/infer`;
        }),
      'SERVICE_ANSWER_INVALID',
    ],
    [
      'that the evidence has moved',
      () => ({
        reply: (reply, asked) => {
          if (!isAttestation(asked)) return;
          reply.status = 302;
          reply.headers['location'] = `${served.url}${asked.url}`;
        },
      }),
      'SERVICE_ANSWER_INVALID',
    ],
  ])('%s', async (_what, lie, code, call) => {
    expect(await under(lie(), [], call?.())).toMatchObject({ status: 1, code });
  });

  test('the JSON length of a binary answer, which would cut it elsewhere', async () => {
    const lie = answers(({ headers }) => {
      const length = Number(headers['inference-header-content-length']);
      headers['inference-header-content-length'] = String(length - 1);
    });
    expect(await under(lie, ['--binary'])).toMatchObject({ status: 1, code: 'RESPONSE_MISMATCH' });
  });

  test('an attestation made for somebody else', async () => {
    const nonce = '22'.repeat(32);
    const lie: Lie = {
      request: (asked) => {
        if (isAttestation(asked)) asked.url = `/attestation?nonce=${nonce}`;
      },
    };
    const { paths, ...refused } = await under(lie);
    expect(refused).toEqual({ status: 1, code: 'NONCE_MISMATCH' });
    expect(paths.some((asked) => asked.startsWith('/v2'))).toBe(false);
    const { paths: asked, ...unanswered } = await under({
      request: (one) => {
        one.url = one.url.replace(/\?.*/, '');
      },
    });
    expect(unanswered).toEqual({ status: 1, code: 'NONCE_MISMATCH' });
    expect(asked).toHaveLength(1);
  });

  const receipts = (change: (reply: Reply) => void | Promise<void>): Lie => ({
    reply: (reply, asked) => (isReceipt(asked) ? change(reply) : undefined),
  });

  test.each<[string, () => Lie, { status: number; code: string }]>([
    [
      'the receipt of another answer',
      () =>
        receipts(async (reply) => {
          const other = await ask(served.url);
          let answer: Reply;
          do
            answer = await forward(served.url, {
              method: 'GET',
              url: `/receipts/${other?.receiptId}`,
              headers: {},
              body: Buffer.alloc(0),
            });
          while (answer.status === 202);
          Object.assign(reply, answer);
        }),
      { status: 1, code: 'SERVICE_ANSWER_INVALID' },
    ],
    [
      'a receipt that is none',
      () => receipts((reply) => void Object.assign(reply, { status: 200, body: Buffer.from('nothing') })),
      { status: 1, code: 'EVIDENCE_MALFORMED' },
    ],
    [
      'that a receipt no report covers is committed',
      () => {
        let evidence: Uint8Array<ArrayBuffer>;
        return {
          reply: (reply, asked) => {
            if (isAttestation(asked)) evidence = parseAttestation(new Uint8Array(reply.body)).evidence;
            if (!isReceipt(asked)) return;
            const { statement } = parseReceipt(new Uint8Array(reply.body));
            reply.status = 200;
            reply.headers['veritee-receipt-status'] = 'hardware-committed';
            reply.body = Buffer.from(encodeReceipt({ statement, path: null, evidence: { file: evidence } }));
          },
        };
      },
      { status: 1, code: 'STRENGTH_INSUFFICIENT' },
    ],
    [
      'that its enclave died',
      () =>
        receipts((reply) => {
          reply.status = 200;
          reply.headers['veritee-receipt-status'] = 'neverCommitted';
        }),
      { status: 1, code: 'RECEIPT_NEVER_COMMITTED' },
    ],
    [
      'that there is no such receipt',
      () =>
        receipts((reply) => {
          reply.status = 404;
          reply.headers = { 'veritee-error-code': 'RECEIPT_UNKNOWN' };
          reply.body = Buffer.from('{"title":"no \\u001b[2Jsuch receipt"}');
        }),
      { status: 1, code: 'RECEIPT_UNKNOWN' },
    ],
  ])('%s', async (_what, lie, refusal) => {
    const out = path.join(folder, `lied-${refusal.code}`);
    expect(await under(lie(), ['--wait-for', 'hardware', '--receipt-out', out])).toMatchObject(refusal);
    expect(existsSync(out)).toBe(false);
  });

  test('"ask again" for ever ends when the policy says so, and control characters stay out of the terminal', async () => {
    const impatient = { ...JSON.parse(readFileSync(policy, 'utf8')), maxWaitSeconds: 1 };
    const file = put('impatient.json', JSON.stringify(impatient));
    const lie = receipts((reply) => {
      reply.status = 202;
      reply.headers['retry-after'] = 'Wed, 21 Oct 2026 07:28:00 GMT';
    });
    const outcome = await under(lie, ['--wait-for', 'hardware'], { policy: file });
    expect(outcome).toMatchObject({ status: 3, code: 'RECEIPT_PENDING' });
    const host = await lyingHost(served.url, {
      reply: (reply, asked) => {
        if (!isAttestation(asked)) return;
        reply.status = 503;
        reply.headers = { 'veritee-error-code': 'EVIDENCE_NOT_READY' };
        reply.body = Buffer.from('{"detail":"wait\\u001b[2J\\rall is well"}');
      },
    });
    running.push(host);
    const human = await veritee(args({ url: host.url }));
    expect(human.status).toBe(3);
    expect(human.stderr).toContain('EVIDENCE_NOT_READY');
    expect(human.stderr).not.toContain('\u001b');
    expect(human.stderr).not.toContain('\r');
  });

  test('an answer that breaks off', async () => {
    for (const breakOff of [isInfer, isAttestation, isReceipt]) {
      const outcome = await under({ breakOff }, ['--wait-for', 'hardware']);
      expect(outcome).toMatchObject({ status: 3, code: 'SERVICE_UNREACHABLE' });
    }
  });

  test.each<[string, Lie, { status: number; code: string }]>([
    [
      'answers a sealed request in the clear',
      {
        reply: async (reply, asked) => {
          if (isSealed(asked)) Object.assign(reply, await another());
        },
      },
      { status: 1, code: 'SEALED_ANSWER_CLEAR' },
    ],
    [
      'changes a sealed answer',
      {
        reply: (reply, asked) => {
          if (isSealed(asked)) reply.body[reply.body.length - 1]! ^= 1;
        },
      },
      { status: 1, code: 'SEALED_ANSWER_INVALID' },
    ],
    [
      'says for ever that the key is gone',
      {
        reply: (reply, asked) => {
          if (!isSealed(asked)) return;
          Object.assign(reply, { status: 400, headers: { 'veritee-error-code': 'SEALING_KEY_UNKNOWN' } });
        },
      },
      { status: 3, code: 'SEALING_KEY_UNKNOWN' },
    ],
    [
      'breaks off a sealed answer',
      { breakOff: (asked) => isSealed(asked) },
      { status: 3, code: 'SERVICE_UNREACHABLE' },
    ],
  ])('%s', async (_what, lie, refusal) => {
    const host = await lyingHost(served.url, lie);
    running.push(host);
    expect(await refusalOf(args({ url: host.url }))).toEqual(refusal);
    expect(host.paths.some((asked) => asked.startsWith('/v2'))).toBe(false);
  });

  test('none of this made the service worse', async () => {
    expect(await boots(served.url)).toHaveLength(1);
    expect(await ask(served.url)).not.toBeNull();
  });
});
