import { beforeEach, describe, expect, test, vi } from 'vitest';
import { type Asked, codeOf, FakeService, INPUT } from './fake-service.ts';

let service: FakeService;
beforeEach(async () => {
  service = await FakeService.start();
});

const never = new Promise<never>(() => {});
const endlessBody = (): Response => new Response(new ReadableStream({ start: (to) => to.enqueue(new Uint8Array(8)) }));

/** Where a call can be when its caller has had enough. */
const PHASES: readonly (readonly [string, (asked: Asked) => boolean, () => Promise<Response>])[] = [
  ['waits for the attestation', ({ path }) => path.startsWith('/attestation'), () => never],
  ['reads the attestation', ({ path }) => path.startsWith('/attestation'), async () => endlessBody()],
  ['waits for the answer', ({ path }) => path === '/ohttp', () => never],
  ['reads the answer', ({ path }) => path === '/ohttp', async () => endlessBody()],
  ['asks for the receipt', ({ path }) => path.startsWith('/receipts'), () => never],
  [
    'waits between two such questions',
    ({ path }) => path.startsWith('/receipts'),
    async () => new Response('', { status: 202, headers: { 'retry-after': '100000' } }),
  ],
];

describe.each(PHASES)('a call that %s', (phase, isPhase, stall) => {
  const reached = async (): Promise<Asked> =>
    vi.waitFor(() => service.asked.find(isPhase) ?? Promise.reject(new Error()));
  beforeEach(() => {
    service.host = (asked, relay) => (isPhase(asked) ? stall() : relay());
  });

  test('ends when its caller cancels, and so does the request under it', async () => {
    const caller = new AbortController();
    const client = await service.client();
    const call = codeOf(client.infer('sample', [INPUT], { signal: caller.signal, waitFor: 'hardware' }));
    const asked = await reached();
    caller.abort();
    expect(await call).toBe('REQUEST_CANCELLED');
    await vi.waitFor(() => expect(asked.signal?.aborted).toBe(true));
    // And the next call is as good as if nothing had been.
    service.host = (_, relay) => relay();
    const { receipt } = await client.infer('sample', [INPUT], { waitFor: 'hardware' });
    expect(receipt.result.strength).toBe('hardware-committed');
  });

  test('ends at its deadline', async () => {
    const client = await service.client();
    // Where only the report is missing, that is what is said, unless the time was up before.
    const codes = phase.startsWith('waits between') ? ['RECEIPT_PENDING', 'DEADLINE_EXCEEDED'] : ['DEADLINE_EXCEEDED'];
    expect(codes).toContain(await codeOf(client.infer('sample', [INPUT], { timeoutMs: 1500, waitFor: 'hardware' })));
  });
});

describe('a call that was over before it began', () => {
  test('asks nothing', async () => {
    const client = await service.client();
    expect(await codeOf(client.ready({ signal: AbortSignal.abort() }))).toBe('REQUEST_CANCELLED');
    expect(await codeOf(client.infer('sample', [INPUT], { timeoutMs: 0 }))).toBe('DEADLINE_EXCEEDED');
    await expect(client.ready({ timeoutMs: Number.NaN })).rejects.toThrow(TypeError);
    expect(service.count('/ohttp')).toBe(0);
  });
});

describe('callers who wait for one attestation', () => {
  const stalled = () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    service.host = async (asked, relay) => {
      if (asked.path.startsWith('/attestation')) await held;
      return relay();
    };
    return release;
  };

  test('do not miss it when one of them cancels', async () => {
    const release = stalled();
    const client = await service.client();
    const caller = new AbortController();
    const gone = codeOf(client.ready({ signal: caller.signal }));
    const stays = client.ready();
    caller.abort();
    expect(await gone).toBe('REQUEST_CANCELLED');
    release();
    expect((await stays).result.verdict).toBe('affirming');
    expect(service.count('/attestation')).toBe(1);
  });

  test('end it when the last of them has gone', async () => {
    stalled();
    const client = await service.client();
    const callers = [new AbortController(), new AbortController()];
    const calls = callers.map(({ signal }) => codeOf(client.ready({ signal })));
    await vi.waitFor(() => expect(service.asked).toHaveLength(1));
    callers[0]?.abort();
    await calls[0];
    expect(service.asked[0]?.signal?.aborted).toBe(false);
    callers[1]?.abort();
    await calls[1];
    expect(service.asked[0]?.signal?.aborted).toBe(true);
  });
});

test('a long-lived signal keeps nothing of the calls made under it', async () => {
  const { signal } = new AbortController();
  const [added, removed] = [vi.spyOn(signal, 'addEventListener'), vi.spyOn(signal, 'removeEventListener')];
  const client = await service.client();
  for (let i = 0; i < 3; i++) await client.infer('sample', [INPUT], { signal });
  expect(added.mock.calls.length).toBeGreaterThan(0);
  expect(removed.mock.calls.length).toBe(added.mock.calls.length);
});

test('a service that is not there', async () => {
  const client = await service.client({ fetch: () => Promise.reject(new TypeError('fetch failed')) });
  expect(await codeOf(client.infer('sample', [INPUT]))).toBe('SERVICE_UNREACHABLE');
});

test('an answer that breaks off', async () => {
  const client = await service.client();
  service.host = async (asked, relay) =>
    asked.path === '/ohttp'
      ? new Response(new ReadableStream({ pull: (to) => to.error(new TypeError('terminated')) }))
      : relay();
  expect(await codeOf(client.infer('sample', [INPUT]))).toBe('SERVICE_UNREACHABLE');
});
