import { generateKeyPairSync, sign } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  bytes,
  encodeAttestation,
  encodeKeyConfigList,
  hex,
  type KeyEntry,
  parseAttestation,
  parseEntry,
} from '../../protocol/index.ts';
import { codeOf, FakeService, INPUT, policy, problem } from './fake-service.ts';

let service: FakeService;
beforeEach(async () => {
  service = await FakeService.start();
});

const attestations = () => service.count('/attestation');

describe('before anything is sealed', () => {
  test('the service answers a fresh nonce of 32 bytes, and only a key of that answer is held', async () => {
    await service.newKey();
    const client = await service.client();
    const { sealingKey, result, file } = await client.ready();
    expect(service.asked.map(({ path }) => path)).toEqual([
      expect.stringMatching(/^\/attestation\?nonce=[0-9a-f]{64}$/),
    ]);
    expect(result.verdict).toBe('affirming');
    const newest = parseAttestation(file).keys.map(({ entry }) => (parseEntry(entry).value as KeyEntry).sequence);
    expect(sealingKey?.sequence).toBe(Math.max(...newest));
    expect(sealingKey?.config).toEqual(service.keys[1]?.config);
    await client.infer('sample', [INPUT]);
    expect(service.asked[1]?.body[0]).toBe(service.keys[1]?.keyId);
    await service.client().then((other) => other.ready());
    expect(new Set(service.asked.map(({ path }) => path)).size).toBe(3);
  });

  test.each<[string, () => void, string]>([
    [
      'of no key',
      () => {
        service.keys = [];
      },
      'SEALING_KEY_MISSING',
    ],
    [
      'of a key that the challenges entry does not name',
      () => {
        service.attesting = { inForce: () => [] };
      },
      'KEY_NOT_COMMITTED',
    ],
    [
      'of a key that the session did not enter',
      () => {
        const { privateKey } = generateKeyPairSync('ed25519');
        service.attesting = { keySign: (message) => bytes(sign(null, message, privateKey), 64, 'signature') };
      },
      'SIGNATURE_INVALID',
    ],
    [
      'of a key whose entry lies elsewhere in the log',
      () => {
        service.host = async (asked, relay) => {
          const attestation = parseAttestation(new Uint8Array(await (await relay(asked)).arrayBuffer()));
          const keys = attestation.keys.map(({ entry, path }) => ({ entry, path: path.slice(1) }));
          return new Response(encodeAttestation({ ...attestation, keys }));
        };
      },
      'INCLUSION_INVALID',
    ],
    [
      'to somebody else',
      () => {
        service.host = (asked, relay) => relay({ ...asked, path: `/attestation?nonce=${'22'.repeat(32)}` });
      },
      'NONCE_MISMATCH',
    ],
    [
      'to nobody',
      () => {
        service.host = (asked, relay) => relay({ ...asked, path: '/attestation' });
      },
      'NONCE_MISMATCH',
    ],
    [
      'of another program',
      () => {
        service.attesting = { tick: { snp: { measurement: new Uint8Array(48).fill(1) as never } } };
      },
      'MEASUREMENT_UNKNOWN',
    ],
    [
      'that is no attestation',
      () => {
        service.host = async () => new Response('hello');
      },
      'EVIDENCE_MALFORMED',
    ],
    [
      'without end',
      () => {
        service.host = async () =>
          new Response(new ReadableStream({ pull: (to) => to.enqueue(new Uint8Array(1 << 20)) }));
      },
      'SERVICE_ANSWER_INVALID',
    ],
    [
      'with an error',
      () => {
        service.host = async () => problem('EVIDENCE_NOT_READY');
      },
      'EVIDENCE_NOT_READY',
    ],
    [
      'with an error in the verifier’s name',
      () => {
        service.host = async () => problem('CHAIN_UNTRUSTED');
      },
      'SERVICE_REFUSED',
    ],
  ])('an attestation %s ends it', async (_what, arrange, code) => {
    arrange();
    const client = await service.client();
    expect(await codeOf(client.infer('sample', [INPUT]))).toBe(code);
    expect(service.count('/ohttp')).toBe(0);
    expect(await codeOf(client.ready())).toBe(code);
  });

  test('a key from anywhere else is not even asked for', async () => {
    const own = await service.newKey();
    service.keys.pop();
    service.host = async (asked, relay) =>
      asked.path === '/ohttp-keys' ? new Response(encodeKeyConfigList([own.config])) : relay();
    await (await service.client()).infer('sample', [INPUT]);
    expect(service.count('/ohttp-keys')).toBe(0);
  });
});

describe('when the key is gone', () => {
  test('a rotation costs one attestation, and every call that met it is answered', async () => {
    const client = await service.client();
    await client.infer('sample', [INPUT]);
    await service.rotate();
    const calls = Array.from({ length: 8 }, () => client.infer('sample', [INPUT]));
    for (const { receipt } of await Promise.all(calls)) expect(receipt.result.verdict).toBe('affirming');
    expect(attestations()).toBe(2);
  });

  test('a restart costs one attestation, and the receipts are of the new session', async () => {
    const client = await service.client();
    const before = await client.infer('sample', [INPUT]);
    await service.restart();
    const calls = await Promise.all(Array.from({ length: 8 }, () => client.infer('sample', [INPUT])));
    const boots = calls.map(({ receipt }) => hex(receipt.result.session.bootId));
    expect(new Set(boots).size).toBe(1);
    expect(boots[0]).not.toBe(hex(before.receipt.result.session.bootId));
    expect(attestations()).toBe(2);
  });

  test.each([
    'SEALING_KEY_UNKNOWN',
    'SEALED_REQUEST_UNREADABLE',
    'KEY_NOT_COMMITTED',
    'ENCLAVE_CHANGED',
    'ENCLAVE_UNREACHABLE',
  ] as const)('%s is met with one attestation and one retry, then it is the answer', async (code) => {
    const client = await service.client();
    service.host = async (asked, relay) => (asked.path === '/ohttp' ? problem(code) : relay());
    expect(await codeOf(client.infer('sample', [INPUT]))).toBe(code);
    expect([attestations(), service.count('/ohttp')]).toEqual([2, 2]);
    service.host = (_, relay) => relay();
    await client.infer('sample', [INPUT]); // nothing is left wedged
  });

  test('any other refusal is not asked again', async () => {
    const client = await service.client();
    service.host = async (asked, relay) => (asked.path === '/ohttp' ? problem('QUEUE_FULL') : relay());
    expect(await codeOf(client.infer('sample', [INPUT]))).toBe('QUEUE_FULL');
    expect([attestations(), service.count('/ohttp')]).toEqual([1, 1]);
  });

  test('in the clear, an answer from another session is met the same way', async () => {
    const client = await service.client({ allowPlaintext: true });
    await client.ready();
    await service.restart();
    await client.infer('sample', [INPUT]);
    expect([attestations(), service.count('/v2')]).toEqual([2, 2]);
    let next = 2;
    service.host = async (asked, relay) => {
      if (asked.path.startsWith('/v2') && next-- > 0) await service.restart();
      return relay();
    };
    expect(await codeOf(client.infer('sample', [INPUT]))).toBe('ENCLAVE_CHANGED');
  });

  test('a new program in its place is refused, and stays so', async () => {
    const client = await service.client();
    await client.ready();
    await service.restart();
    service.attesting = { tick: { snp: { measurement: new Uint8Array(48).fill(1) as never } } };
    expect(await codeOf(client.infer('sample', [INPUT]))).toBe('MEASUREMENT_UNKNOWN');
    expect(await codeOf(client.infer('sample', [INPUT]))).toBe('MEASUREMENT_UNKNOWN');
    expect(service.opened).toEqual([]);
  });
});

describe('on the monotonic clock', () => {
  const MINUTE = 60_000;
  let clock = 0;
  beforeEach(() => {
    const start = performance.now();
    clock = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => start + clock);
  });
  afterEach(() => vi.restoreAllMocks());

  test('an attestation is used for four minutes, then renewed behind the calls', async () => {
    const client = await service.client();
    const first = await client.ready();
    clock = 4 * MINUTE - 1;
    expect(await client.ready()).toBe(first);
    expect(attestations()).toBe(1);
    clock = 4 * MINUTE;
    expect(await client.ready()).toBe(first);
    await vi.waitFor(async () => expect(await client.ready()).not.toBe(first));
    expect(attestations()).toBe(2);
  });

  test('one that is ten minutes old is never used', async () => {
    const client = await service.client();
    const first = await client.ready();
    clock = 10 * MINUTE;
    expect(await client.ready()).not.toBe(first);
    clock = 20 * MINUTE;
    service.host = async () => problem('EVIDENCE_NOT_READY');
    expect(await codeOf(client.infer('sample', [INPUT]))).toBe('EVIDENCE_NOT_READY');
    expect(service.count('/ohttp')).toBe(0);
  });

  test('its age counts from the question, not from the answer', async () => {
    const client = await service.client();
    service.host = async (asked, relay) => {
      if (asked.path.startsWith('/attestation')) clock += 5 * MINUTE;
      return relay();
    };
    const first = await client.ready();
    clock += 5 * MINUTE;
    expect(await client.ready()).not.toBe(first);
  });

  test('a renewal that fails spoils nothing and is tried again, but not at every call', async () => {
    const client = await service.client();
    const first = await client.ready();
    service.host = async (asked, relay) => (asked.path === '/ohttp' ? relay() : problem('EVIDENCE_NOT_READY'));
    clock = 5 * MINUTE;
    for (let i = 0; i < 5; i++) {
      await client.infer('sample', [INPUT]);
      expect(await client.ready()).toBe(first);
    }
    expect(attestations()).toBe(2);
    clock += 10_000;
    service.host = (_, relay) => relay();
    await client.infer('sample', [INPUT]);
    await vi.waitFor(async () => expect(await client.ready()).not.toBe(first));
    expect(attestations()).toBe(3);
  });

  test('a renewal under way is no answer to a key that is gone meanwhile', async () => {
    const client = await service.client();
    await client.ready();
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let asked = 0;
    service.host = async (one, relay) => {
      const response = await relay();
      if (one.path.startsWith('/attestation') && ++asked === 1) await held; // the old boot's answer, late
      return response;
    };
    clock = 5 * MINUTE;
    await client.ready();
    await vi.waitFor(() => expect(asked).toBe(1));
    await service.restart();
    await client.infer('sample', [INPUT]);
    release();
    await client.infer('sample', [INPUT]);
    expect(attestations()).toBe(3);
  });
});

test('callers at the same moment share one attestation', async () => {
  const client = await service.client({ policy: policy() });
  await Promise.all(Array.from({ length: 16 }, () => client.infer('sample', [INPUT])));
  expect(attestations()).toBe(1);
});
