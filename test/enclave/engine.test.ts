import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { bytes, type Datatype, fromUtf8, sha256, type Tensor, utf8 } from '@veritee/protocol';
import { buildSync } from 'esbuild';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { Engine, type EngineSettings } from '../../enclave/engine/engine.ts';
import type { ModelSource } from '../../enclave/engine/messages.ts';
import type { WorkerEvent } from '../../enclave/engine/worker-slot.ts';
import { ATTRIBUTE, FLOAT, floats, INT64, model, node, STRING, value } from './onnx-builder.ts';
import { buildWorker, programs } from './worker-url.ts';

const scratch = mkdtempSync(path.join(tmpdir(), 'veritee-engine-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/**
 * A worker in which a first input element of 1000 + n holds the thread, as a long native run does, until file
 * `gate-n` exists; 2000 ends the thread, 3000 throws outside every handler.
 */
const steered = buildWorker(`
import { existsSync } from 'node:fs';
import { InferenceSession } from 'onnxruntime-node';
const run = InferenceSession.prototype.run;
InferenceSession.prototype.run = function (feeds, ...rest) {
  const order = Number(feeds.x?.data[0]);
  if (order === 2000) process.exit(7);
  if (order === 3000) setImmediate(() => { throw new RangeError('payload 3000'); });
  if (order === 3000) return new Promise(() => {});
  while (order >= 1000 && order < 2000 && !existsSync(${JSON.stringify(scratch)} + '/gate-' + (order - 1000))) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
  }
  return run.call(this, feeds, ...rest);
};`);

const source = (onnx: Uint8Array): ModelSource => {
  const shared = new Uint8Array(new SharedArrayBuffer(onnx.length));
  shared.set(onnx);
  return { digest: sha256(onnx), model: shared, external: [], where: 'test/1/model.onnx' };
};

const identity = (type: number) =>
  source(
    model({
      node: [node('Identity', ['x'], ['y']), node('Shape', ['x'], ['s'])],
      input: [value('x', type, null)],
      output: [value('y', type, null), value('s', INT64, ['r'])],
    }),
  );
const SAME = identity(FLOAT);

let engine: Engine | null = null;
let gates = 0;
afterEach(async () => {
  await engine?.close();
  engine = null;
});

async function start(settings: EngineSettings = {}, ...models: readonly ModelSource[]): Promise<Engine> {
  engine = await Engine.start({ workerUrl: steered, workers: 1, ...settings });
  for (const one of [SAME, ...models]) await engine.load(one);
  return engine;
}

const x = (...values: number[]): Tensor => ({
  name: 'x',
  datatype: 'FP32',
  shape: [values.length],
  data: floats(values),
});
const run = (on: Engine, input: Tensor, options = {}) => on.run(SAME, [input], ['y'], options);

/** A run that holds its worker until `open` is called. */
function hold(on: Engine, options = {}) {
  const gate = gates++;
  return { done: run(on, x(1000 + gate), options), open: () => writeFileSync(path.join(scratch, `gate-${gate}`), '') };
}

const refused = (code: string) => expect.objectContaining({ name: 'ServiceError', code });
const until = async (holds: () => boolean) => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe('tensors', () => {
  const element = { BOOL: 9, UINT8: 2, UINT16: 4, UINT32: 12, UINT64: 13, INT8: 3, INT16: 5, INT32: 6, INT64: 7 };
  const types: Partial<Record<Datatype, number>> = { ...element, FP16: 10, FP32: 1, FP64: 11 };

  test('of every datatype keep their exact bytes, scalars and empty ones too', async () => {
    const on = await start();
    for (const [datatype, type] of Object.entries(types)) {
      const same = identity(type as number);
      await on.load(same);
      const size =
        { BOOL: 1, UINT8: 1, INT8: 1, UINT16: 2, INT16: 2, FP16: 2 }[datatype] ?? (/64/.test(datatype) ? 8 : 4);
      for (const shape of [[2, 3], [], [0, 3]]) {
        const count = shape.reduce((a, b) => a * b, 1);
        const data = Uint8Array.from({ length: count * size }, (_, i) => (datatype === 'BOOL' ? i & 1 : 255 - 7 * i));
        const input = { name: 'x', datatype, shape, data } as Tensor;
        const { outputs } = await on.run(same, [input], ['y']);
        expect(outputs).toEqual([{ ...input, name: 'y' }]);
      }
    }
  });

  test('of text are UTF-8', async () => {
    const same = identity(STRING);
    const on = await start({}, same);
    const texts = ['', 'é\u{1f600}', '\ufeffmark', 'x'.repeat(100_000)];
    const input: Tensor = { name: 'x', datatype: 'BYTES', shape: [4], data: texts.map(utf8) };
    const { outputs } = await on.run(same, [input], ['y']);
    expect((outputs[0]!.data as Uint8Array[]).map(fromUtf8)).toEqual(texts);
    const none = await on.run(same, [{ name: 'x', datatype: 'BYTES', shape: [0], data: [] }], ['y']);
    expect(none.outputs[0]).toMatchObject({ shape: [0], data: [] });
  });

  for (const [name, bad] of Object.entries({
    'a NUL, which the binding would cut at': [65, 0, 66],
    'no UTF-8': [0xff],
  })) {
    test(`refuses text with ${name}`, async () => {
      const same = identity(STRING);
      const on = await start({}, same);
      const input: Tensor = { name: 'x', datatype: 'BYTES', shape: [1], data: [Uint8Array.from(bad)] };
      await expect(on.run(same, [input], ['y'])).rejects.toThrowError(
        expect.objectContaining({ code: 'TENSOR_VALUE_INVALID', field: 'inputs[x].data' }),
      );
    });
  }

  test('refuses what native code would read wrongly', async () => {
    const same = identity(9);
    const on = await start({}, same);
    const tensor = (datatype: string, shape: number[], data: Uint8Array): Tensor =>
      ({ name: 'x', datatype, shape, data }) as Tensor;
    const two = Uint8Array.of(2);
    await expect(on.run(same, [tensor('BOOL', [1], two)], ['y'])).rejects.toThrowError(refused('TENSOR_VALUE_INVALID'));
    await expect(run(on, tensor('FP32', [2], two))).rejects.toThrowError(refused('TENSOR_ELEMENT_COUNT_MISMATCH'));
    await expect(run(on, tensor('FP32', [-1], two))).rejects.toThrowError(refused('TENSOR_SHAPE_MISMATCH'));
    await expect(run(on, tensor('BF16', [1], new Uint8Array(2)))).rejects.toThrowError(
      refused('TENSOR_DATATYPE_MISMATCH'),
    );
    await expect(run(on, x(1))).resolves.toBeDefined();
  });

  test('that are pieces of a body are copied, not taken from it', async () => {
    const on = await start();
    const body = new Uint8Array(100);
    body.set(floats([1, 2, 3]), 13); // no float lies at a multiple of 4
    const input: Tensor = { name: 'x', datatype: 'FP32', shape: [3], data: body.subarray(13, 25) };
    const { outputs } = await run(on, input);
    expect(outputs[0]?.data).toEqual(floats([1, 2, 3]));
    expect(body.length).toBe(100);
  });

  test('come back as asked for: some outputs, in the order named', async () => {
    const on = await start();
    const names = async (...wanted: string[]) => (await on.run(SAME, [x(1)], wanted)).outputs.map(({ name }) => name);
    expect(await names('s', 'y')).toEqual(['s', 'y']);
    expect(await names('s')).toEqual(['s']);
    await expect(names()).rejects.toThrowError(TypeError);
    await expect(names('y', 'y')).rejects.toThrowError(TypeError);
    await expect(names('none')).rejects.toThrowError(refused('MODEL_RUN_FAILED'));
  });
});

describe('a failed run', () => {
  test('names the node and no payload', async () => {
    const gather = source(
      model({
        node: [node('Gather', ['d', 'i'], ['y'])],
        input: [value('d', FLOAT, ['n']), value('i', INT64, ['m'])],
        output: [value('y', FLOAT, ['m'])],
      }),
    );
    const cast = source(
      model({
        node: [node('Cast', ['x'], ['y'], { attribute: [{ name: 'to', i: FLOAT, type: ATTRIBUTE.INT }] })],
        input: [value('x', STRING, ['n'])],
        output: [value('y', FLOAT, ['n'])],
      }),
    );
    const on = await start({}, gather, cast);
    const index: Tensor = {
      name: 'i',
      datatype: 'INT64',
      shape: [1],
      data: new Uint8Array(new BigInt64Array([424242n]).buffer),
    };
    const wrong = await on.run(gather, [{ ...x(1), name: 'd' }, index], ['y']).catch((error: Error) => error);
    expect(wrong).toMatchObject({
      code: 'MODEL_RUN_FAILED',
      message: 'the model failed in the Gather node "gather_y"',
    });
    const text: Tensor = { name: 'x', datatype: 'BYTES', shape: [1], data: [utf8('secret')] };
    const failed = await on.run(cast, [text], ['y']).catch((error: Error) => error);
    expect(failed).toMatchObject({ code: 'MODEL_RUN_FAILED' });
    expect(`${(failed as Error).message}${(failed as Error).stack}`).not.toContain('secret');
  });

  test('of a wrong shape names the input', async () => {
    const fixed = source(
      model({
        node: [node('Identity', ['x'], ['y'])],
        input: [value('x', FLOAT, [2])],
        output: [value('y', FLOAT, [2])],
      }),
    );
    const on = await start({}, fixed);
    await expect(on.run(fixed, [x(1, 2, 3)], ['y'])).rejects.toThrowError(/shape or type of input "x"/);
  });

  test('for want of memory says so', async () => {
    const grow = source(
      model({
        node: [node('ConstantOfShape', ['x'], ['y'])],
        input: [value('x', INT64, [2])],
        output: [value('y', FLOAT, ['a', 'b'])],
      }),
    );
    const on = await start({}, grow);
    const size: Tensor = {
      name: 'x',
      datatype: 'INT64',
      shape: [2],
      data: new Uint8Array(new BigInt64Array([2n ** 30n, 2n ** 20n]).buffer),
    };
    await expect(on.run(grow, [size], ['y'])).rejects.toThrowError(/ran out of memory in the ConstantOfShape node/);
    await expect(run(on, x(1))).resolves.toBeDefined();
  });

  test('of a model never loaded', async () => {
    const on = await start();
    await expect(on.run({ digest: bytes(new Uint8Array(32), 32, 'x') }, [x(1)], ['y'])).rejects.toThrowError(
      refused('MODEL_NOT_READY'),
    );
  });
});

describe('the queue', () => {
  test('refuses beyond its bound and keeps what it took', async () => {
    const on = await start({ maxQueue: 1 });
    const held = hold(on);
    const waiting = run(on, x(1));
    await expect(run(on, x(2))).rejects.toThrowError(refused('QUEUE_FULL'));
    expect(on.usage).toEqual({ waiting: 1, running: 1, inputBytes: 8 });
    held.open();
    expect((await waiting).outputs[0]?.data).toEqual(floats([1]));
    await held.done;
    expect(on.usage).toEqual({ waiting: 0, running: 0, inputBytes: 0 });
  });

  test('of no length still runs what a free worker can take', async () => {
    const on = await start({ maxQueue: 0 });
    await expect(run(on, x(1))).resolves.toBeDefined();
    const held = hold(on);
    await expect(run(on, x(1))).rejects.toThrowError(refused('QUEUE_FULL'));
    held.open();
    await held.done;
  });

  test('is first come, first served', async () => {
    const on = await start();
    const held = hold(on);
    const order: number[] = [];
    const all = [1, 2, 3, 4].map((n) => run(on, x(n)).then(() => order.push(n)));
    held.open();
    await Promise.all(all);
    expect(order).toEqual([1, 2, 3, 4]);
  });

  test('two workers run side by side', async () => {
    const on = await start({ workers: 2 });
    const held = hold(on);
    await expect(run(on, x(1))).resolves.toBeDefined();
    held.open();
    await held.done;
  });

  test('the event loop stays free while a model runs', async () => {
    const on = await start();
    const held = hold(on);
    await new Promise((resolve) => setTimeout(resolve, 1));
    held.open(); // reached only because the run holds another thread
    await held.done;
  });
});

describe('deadlines', () => {
  test('answer a request that waits, and take it from the queue', async () => {
    const on = await start();
    const held = hold(on);
    await expect(run(on, x(1), { deadlineMs: 10 })).rejects.toThrowError(refused('DEADLINE_EXCEEDED'));
    expect(on.usage).toEqual({ waiting: 0, running: 1, inputBytes: 4 });
    held.open();
    await held.done;
  });

  test('answer a request that runs at once; its worker and memory are free when it really ends', async () => {
    const on = await start({ deadlineMs: 10 });
    const held = hold(on);
    await expect(held.done).rejects.toThrowError(refused('DEADLINE_EXCEEDED'));
    expect(on.usage).toEqual({ waiting: 0, running: 1, inputBytes: 4 });
    const next = run(on, x(5), { deadlineMs: 60_000 });
    held.open();
    expect((await next).outputs[0]?.data).toEqual(floats([5]));
    expect(on.usage.inputBytes).toBe(0);
  });

  test('beyond what a timer can hold do not fire at once', async () => {
    const on = await start();
    await expect(run(on, x(1), { deadlineMs: 2 ** 40 })).resolves.toBeDefined();
  });
});

describe('cancellation', () => {
  test('takes a waiting request from the queue', async () => {
    const on = await start();
    const held = hold(on);
    const abort = new AbortController();
    const waiting = run(on, x(1), { signal: abort.signal });
    abort.abort();
    await expect(waiting).rejects.toThrowError(refused('REQUEST_CANCELLED'));
    expect(on.usage).toEqual({ waiting: 0, running: 1, inputBytes: 4 });
    held.open();
    await held.done;
  });

  test('answers a running one, which goes on, and refuses one cancelled before it came', async () => {
    const on = await start();
    const abort = new AbortController();
    const held = hold(on, { signal: abort.signal });
    abort.abort();
    await expect(held.done).rejects.toThrowError(refused('REQUEST_CANCELLED'));
    expect(on.usage.running).toBe(1);
    await expect(run(on, x(1), { signal: abort.signal })).rejects.toThrowError(refused('REQUEST_CANCELLED'));
    held.open();
    await until(() => on.usage.running === 0);
  });
});

describe('input memory', () => {
  test('one request beyond the ceiling can never run', async () => {
    const on = await start({ maxInputBytes: 16 });
    await expect(run(on, x(1, 2, 3, 4, 5))).rejects.toThrowError(refused('INPUT_MEMORY_EXCEEDED'));
    await expect(run(on, x(1, 2, 3, 4))).resolves.toBeDefined();
  });

  test('several together beyond it: the last is asked to come again', async () => {
    const on = await start({ maxInputBytes: 16 });
    const held = hold(on);
    const waiting = run(on, x(1, 2));
    await expect(run(on, x(1, 2))).rejects.toThrowError(refused('QUEUE_FULL'));
    held.open();
    await Promise.all([held.done, waiting]);
    await expect(run(on, x(1, 2, 3, 4))).resolves.toBeDefined();
  });

  test('text counts with its lengths', async () => {
    const same = identity(STRING);
    const on = await start({ maxInputBytes: 16 }, same);
    const text = (size: number): Tensor => ({
      name: 'x',
      datatype: 'BYTES',
      shape: [1],
      data: [new Uint8Array(size).fill(65)],
    });
    await expect(on.run(same, [text(13)], ['y'])).rejects.toThrowError(refused('INPUT_MEMORY_EXCEEDED'));
    await expect(on.run(same, [text(12)], ['y'])).resolves.toBeDefined();
  });
});

describe('a worker that dies', () => {
  for (const [how, order, reason] of [
    ['ends', 2000, 'exit code 7'],
    ['throws', 3000, 'RangeError'],
  ] as const) {
    test(`${how}: its request fails, those that wait are run by the next`, async () => {
      const events: WorkerEvent[] = [];
      const on = await start({ onEvent: (event) => events.push(event) }, identity(STRING));
      const dying = run(on, x(order));
      const waiting = run(on, x(1));
      await expect(dying).rejects.toThrowError(refused('MODEL_RUN_FAILED'));
      expect((await waiting).outputs[0]?.data).toEqual(floats([1]));
      expect(events.map(({ event }) => event)).toEqual(['died', 'restarted']);
      expect(events[0]).toEqual({ worker: 'engine-1', event: 'died', reason });
      expect(on.usage).toEqual({ waiting: 0, running: 0, inputBytes: 0 });
    });
  }

  test('and cannot be replaced yet is tried again', async () => {
    const file = fileURLToPath(
      buildWorker(
        'import { InferenceSession } from "onnxruntime-node"; InferenceSession.prototype.run = () => process.exit(1);',
      ),
    );
    const away = `${file}.away`;
    const events: string[] = [];
    const workerUrl = new URL(`file://${file}`);
    const on = await start({
      workerUrl,
      onEvent: ({ event }) => {
        events.push(event);
        if (event === 'restart-failed' && existsSync(away)) renameSync(away, file);
      },
    });
    renameSync(file, away);
    await expect(run(on, x(1))).rejects.toThrowError(refused('MODEL_RUN_FAILED'));
    await until(() => events.includes('restarted'));
    expect(events).toEqual(['died', 'restart-failed', 'restarted']);
  });

  test('does not hinder closing', async () => {
    const on = await start();
    await expect(run(on, x(2000))).rejects.toThrowError(refused('MODEL_RUN_FAILED'));
    await on.close();
    await expect(run(on, x(1))).rejects.toThrowError(refused('ENCLAVE_STOPPING'));
  });

  test('at the start is an error', async () => {
    const missing = new URL('file:///nonexistent/worker.js');
    await expect(Engine.start({ workerUrl: missing })).rejects.toThrowError(refused('MODEL_RUN_FAILED'));
  });
});

describe('loading', () => {
  test('refuses a model that onnxruntime refuses, in every worker, and goes on', async () => {
    const on = await start({ workers: 2 });
    const garbage = source(utf8('garbage'));
    await expect(on.load(garbage)).rejects.toThrowError(refused('MODEL_FILE_INVALID'));
    await expect(on.run(garbage, [x(1)], ['y'])).rejects.toThrowError(refused('MODEL_NOT_READY'));
    await expect(run(on, x(1))).resolves.toBeDefined();
  });

  test('tells the runtime it uses', async () => {
    const { runtime } = await start();
    expect(runtime).toEqual({ onnxruntime: '1.30.0', executionProvider: 'cpu' });
  });
});

describe('closing', () => {
  test('refuses what waits, lets finish what runs, and comes to an end', async () => {
    const on = await start();
    const held = hold(on);
    const waiting = run(on, x(1));
    const closed = on.close();
    await expect(waiting).rejects.toThrowError(refused('ENCLAVE_STOPPING'));
    await expect(run(on, x(1))).rejects.toThrowError(refused('ENCLAVE_STOPPING'));
    held.open();
    await expect(held.done).resolves.toBeDefined();
    await closed;
    await on.close();
  });

  /** A process of its own: native code that dies at exit, or writes to stderr, shows only there. */
  const ends = (rounds: number, ending: string) => {
    const size = 1000;
    const onnx = model({
      node: [node('MatMul', ['x', 'x'], ['h']), node('MatMul', ['h', 'x'], ['y'])],
      input: [value('x', FLOAT, ['n', 'n'])],
      output: [value('y', FLOAT, ['n', 'n'])],
    });
    const file = path.join(scratch, 'square.onnx');
    writeFileSync(file, onnx);
    const entry = path.join(programs, 'exit.ts');
    const program = path.join(programs, 'exit.mjs');
    const engineFile = fileURLToPath(new URL('../../enclave/engine/engine.ts', import.meta.url));
    writeFileSync(
      entry,
      `import { createHash } from 'node:crypto';
       import { readFileSync } from 'node:fs';
       import { Engine } from ${JSON.stringify(engineFile)};
       const onnx = readFileSync(${JSON.stringify(file)});
       const shared = new Uint8Array(new SharedArrayBuffer(onnx.length));
       shared.set(onnx);
       const source = { digest: createHash('sha256').update(onnx).digest(), model: shared, external: [], where: 'm' };
       const engine = await Engine.start({ workers: 2, workerUrl: new URL(${JSON.stringify(steered.href)}) });
       await engine.load(source);
       const x = (...shape) => ({ name: 'x', datatype: 'FP32', shape, data: new Uint8Array(4 * shape[0] * shape[1]) });
       const run = (...shape) => engine.run(source, [x(...shape)], ['y']);
       await Promise.all(Array.from({ length: 8 }, () => run(2, 2)));
       await run(2, 3).catch(() => {});
       process.stdout.write('ran');
       ${ending.replaceAll('SIZE', String(size))}`,
    );
    buildSync({
      entryPoints: [entry],
      outfile: program,
      bundle: true,
      format: 'esm',
      platform: 'node',
      conditions: ['veritee-source'],
      logLevel: 'warning',
    });
    for (let round = 0; round < rounds; round++) {
      const { status, stdout, stderr, signal } = spawnSync(process.execPath, [program], { encoding: 'utf8' });
      expect({ status, stdout, stderr, signal }).toEqual({ status: 0, stdout: 'ran', stderr: '', signal: null });
    }
  };
  test('leaves a process that ends by itself, with status 0, time after time', () => ends(8, 'await engine.close();'));
  test('is not needed for a clean exit', () => ends(8, 'process.exit(0);'));
  test('is not needed while models run: the exit waits for native code to come back', () =>
    ends(3, 'for (let i = 0; i < 4; i++) void run(SIZE, SIZE); setTimeout(() => process.exit(0), 10);'));
});
