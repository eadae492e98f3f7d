import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Engine } from '../../enclave/engine/engine.ts';
import { invalidAnswer, type KeyProvider, refused, unreachable } from '../../enclave/keys/provider.ts';
import { retryKeys } from '../../enclave/keys/retry.ts';
import { KeyRing } from '../../enclave/keys/ring.ts';
import { type LoadedModel, loadRepository, type Repository } from '../../enclave/models/repository.ts';
import { hex } from '../../protocol/bytes.ts';
import { type KeyId, keyIdText, parseKeyId } from '../../protocol/sealed-model.ts';
import { seal } from '../support/seal.ts';
import { addModel, external, floats, initializer } from './onnx-builder.ts';
import { silent, until } from './parts.ts';
import { buildWorker } from './worker-url.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workerUrl: buildWorker() });
});
afterAll(() => engine.close());

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'veritee-sealed-'));
});
afterEach(() => rm(dir, { recursive: true }));

const KID = 'kbs:///acme/model-key/fraud';
const key = new Uint8Array(randomBytes(32));

async function put(file: string, content: Uint8Array | string): Promise<void> {
  await mkdir(path.dirname(path.join(dir, file)), { recursive: true });
  await writeFile(path.join(dir, file), content);
}
const putSealed = (file: string, clear: Uint8Array, kid = KID, with_ = key, as = file) =>
  put(`${file}.cose`, seal(clear, as, kid, with_, randomBytes(12)));

/** Hands out copies, as every provider does, and keeps them to see what becomes of them. */
class Keys implements KeyProvider {
  readonly asked: string[] = [];
  readonly given: Uint8Array[] = [];
  answer: (id: KeyId) => Promise<Uint8Array> = async () => new Uint8Array(key);
  async key(id: KeyId): Promise<Uint8Array> {
    this.asked.push(keyIdText(id));
    const copy = await this.answer(id);
    this.given.push(copy);
    return copy;
  }
}
let keys: Keys;
beforeEach(() => {
  keys = new Keys();
});
const load = (provider: KeyProvider | null = keys, keyWaitMs = 50): Promise<Repository> =>
  loadRepository(dir, engine, { keys: provider, keyWaitMs });

const outcomes = (repository: Repository): Record<string, string> =>
  Object.fromEntries(
    repository.list().map(({ name, version, error }) => [`${name}/${version}`, error?.code ?? 'ready']),
  );

async function run(repository: Repository, name: string): Promise<number[]> {
  const x = { name: 'x', datatype: 'FP32', shape: [1, 4], data: floats([1, 1, 1, 1]) } as const;
  const { outputs } = await engine.run(repository.get(name), [x], ['y']);
  return [...new Float32Array((outputs[0]!.data as Uint8Array<ArrayBuffer>).slice().buffer)];
}

const MODEL = addModel(initializer('w', [4], [1, 2, 3, 4]));
const WEIGHTS = floats([10, 20, 30, 40]);
const WITH_EXTERNAL = addModel(external('w', [4], { location: 'weights.bin' }));

describe('an encrypted model', () => {
  test('is the clear one: same outputs, same digest, same file map', async () => {
    await put('clear/1/model.onnx', MODEL);
    await put('clear/1/config.json', '{"description":"adds"}');
    await putSealed('sealed/1/model.onnx', MODEL);
    await putSealed('sealed/1/config.json', Buffer.from('{"description":"adds"}'));
    const repository = await load();
    expect(outcomes(repository)).toEqual({ 'clear/1': 'ready', 'sealed/1': 'ready' });
    const [clear, sealed] = [repository.get('clear'), repository.get('sealed')];
    expect(hex(sealed.digest)).toBe(hex(clear.digest));
    expect([...sealed.files.keys()].sort()).toEqual(['config.json', 'model.onnx']);
    expect(new Map(sealed.files)).toEqual(new Map(clear.files));
    expect(sealed.config).toEqual(clear.config);
    expect(await run(repository, 'sealed')).toEqual(await run(repository, 'clear'));
  });

  test('with its weights in another file', async () => {
    await putSealed('sealed/1/model.onnx', WITH_EXTERNAL);
    await putSealed('sealed/1/weights.bin', WEIGHTS);
    await put('clear/1/model.onnx', WITH_EXTERNAL);
    await put('clear/1/weights.bin', WEIGHTS);
    const repository = await load();
    for (const name of ['sealed', 'clear']) expect(await run(repository, name), name).toEqual([11, 21, 31, 41]);
    expect(hex(repository.get('sealed').digest)).toBe(hex(repository.get('clear').digest));
  });

  test('larger than one piece of reading', async () => {
    const many = 3 * 2 ** 20; // 12 MiB of floats
    const weights = floats(Array.from({ length: many }, (_, i) => i % 100));
    const graph = addModel(
      external('w', [4], { location: 'weights.bin', offset: String(4 * (many - 4)), length: '16' }),
    );
    await put('clear/1/model.onnx', graph);
    await put('clear/1/weights.bin', weights);
    await putSealed('sealed/1/model.onnx', graph);
    await putSealed('sealed/1/weights.bin', weights);
    const repository = await load();
    expect(hex(repository.get('sealed').digest)).toBe(hex(repository.get('clear').digest));
    expect(await run(repository, 'sealed')).toEqual(await run(repository, 'clear'));
  });

  test('each key is asked for once, and is zeros when the models are loaded', async () => {
    for (const version of [1, 2, 3]) await putSealed(`sealed/${version}/model.onnx`, MODEL);
    await putSealed('other/1/model.onnx', MODEL, 'kbs:///acme/model-key/other');
    const repository = await load();
    expect(Object.values(outcomes(repository))).toEqual(Array(4).fill('ready'));
    expect(keys.asked).toEqual(['kbs:///acme/model-key/other', KID]);
    expect(keys.given.map(hex)).toEqual([hex(new Uint8Array(32)), hex(new Uint8Array(32))]);
  });
});

describe('what is not opened', () => {
  const broken = async (expected: string, provider: KeyProvider | null = keys): Promise<string> => {
    await put('good/1/model.onnx', MODEL);
    const repository = await load(provider);
    expect(outcomes(repository)).toEqual({ 'good/1': 'ready', 'sealed/1': expected });
    expect(await run(repository, 'good')).toEqual([2, 3, 4, 5]);
    return repository.list().find(({ error }) => error)!.error!.message;
  };

  test('no provider', async () => {
    await putSealed('sealed/1/model.onnx', MODEL);
    expect(await broken('MODEL_KEY_UNAVAILABLE', null)).toContain('no key broker or KMS is configured');
  });

  test('a provider that refuses: its finding is in the words', async () => {
    await putSealed('sealed/1/model.onnx', MODEL);
    keys.answer = () => Promise.reject(refused('the key broker refused: MEASUREMENT_UNKNOWN'));
    expect(await broken('MODEL_KEY_REFUSED')).toContain('MEASUREMENT_UNKNOWN');
    expect(keys.asked.length).toBe(1); // a refusal is not asked for twice
  });

  test('a provider that is not there, asked again within its time', async () => {
    await putSealed('sealed/1/model.onnx', MODEL);
    keys.answer = () => Promise.reject(unreachable('broker.test: not reached'));
    const repository = await load(keys, 600);
    expect(outcomes(repository)).toEqual({ 'sealed/1': 'MODEL_KEY_UNAVAILABLE' });
    expect(keys.asked.length).toBeGreaterThan(1);
    const ring = new KeyRing(keys, 0);
    const before = keys.asked.length;
    for (const tag of ['a', 'b', 'c']) {
      await expect(ring.get({ ...parseKeyId(KID)!, tag })).rejects.toMatchObject({ code: 'MODEL_KEY_UNAVAILABLE' });
    }
    expect(keys.asked.length).toBe(before + 1); // the others do not wait for it again
  });

  test('a provider that gives nonsense', async () => {
    await putSealed('sealed/1/model.onnx', MODEL);
    keys.answer = () => Promise.reject(invalidAnswer('no JSON'));
    expect(await broken('MODEL_KEY_UNAVAILABLE')).toContain('BROKER_ANSWER_INVALID');
    const short = new Uint8Array(16).fill(7);
    keys.answer = async () => short;
    await broken('MODEL_KEY_UNAVAILABLE');
    expect(hex(short)).toBe('00'.repeat(16));
  });

  test('another key', async () => {
    await putSealed('sealed/1/model.onnx', MODEL, KID, new Uint8Array(32).fill(1));
    expect(await broken('MODEL_KEY_WRONG')).toContain(KID);
  });

  test('a file with a changed byte, wherever it is', async () => {
    await putSealed('sealed/1/model.onnx', MODEL);
    const file = path.join(dir, 'sealed/1/model.onnx.cose');
    const good = await readFile(file);
    for (const at of [good.length - 1, good.length - 17, good.length - MODEL.length, good.length - MODEL.length - 18]) {
      const changed = Buffer.from(good);
      changed[at]! ^= 1;
      await writeFile(file, changed);
      const { 'sealed/1': code } = outcomes(await load());
      expect(['MODEL_KEY_WRONG', 'MODEL_SEAL_INVALID'], `byte ${at}`).toContain(code);
    }
  });

  test('files that have changed places: of one model, of two, of two versions', async () => {
    await putSealed('sealed/1/model.onnx', MODEL, KID, key, 'sealed/1/weights.bin');
    expect(await broken('MODEL_SEAL_INVALID')).toContain('sealed for another place');
    await putSealed('sealed/1/model.onnx', MODEL, KID, key, 'other/1/model.onnx');
    await broken('MODEL_SEAL_INVALID');
    await putSealed('sealed/1/model.onnx', MODEL, KID, key, 'sealed/2/model.onnx');
    await broken('MODEL_SEAL_INVALID');
    expect(keys.asked).toEqual([]); // nothing is asked for on behalf of such a file
  });

  test('a file cut short, at the head and at the end, and one too long', async () => {
    await putSealed('sealed/1/model.onnx', MODEL);
    const file = path.join(dir, 'sealed/1/model.onnx.cose');
    const good = await readFile(file);
    for (const content of [good.subarray(0, 40), good.subarray(0, -1), Buffer.concat([good, good]), Buffer.alloc(0)]) {
      await writeFile(file, content);
      expect(outcomes(await load())).toEqual({ 'sealed/1': 'MODEL_SEAL_INVALID' });
    }
  });

  test('a clear file that is only named like one', async () => {
    await put('sealed/1/model.onnx.cose', MODEL);
    await broken('MODEL_SEAL_INVALID');
  });

  test('a file that is there both ways', async () => {
    await put('sealed/1/model.onnx', MODEL);
    await putSealed('sealed/1/model.onnx', MODEL);
    expect(await broken('MODEL_SEAL_INVALID')).toContain('both clear and encrypted');
  });

  // Whoever fills the folder could otherwise put a graph of their own beside weights that they cannot read, and have
  // the enclave read them out: with x = 0 this one answers w.
  test('encrypted weights for a graph in the clear', async () => {
    await put('sealed/1/model.onnx', WITH_EXTERNAL);
    await putSealed('sealed/1/weights.bin', WEIGHTS);
    expect(await broken('MODEL_SEAL_INVALID')).toContain('encrypted whole');
    expect(keys.asked).toEqual([]);
  });

  test('encrypted weights for a graph that is encrypted under another key', async () => {
    const own = new Uint8Array(32).fill(9);
    keys.answer = async ({ tag }) => new Uint8Array(tag === 'own' ? own : key);
    await putSealed('sealed/1/model.onnx', WITH_EXTERNAL, 'kbs:///mallory/model-key/own', own);
    await putSealed('sealed/1/weights.bin', WEIGHTS);
    expect(await broken('MODEL_SEAL_INVALID')).toContain('one key');
    expect(keys.asked).not.toContain(KID);
  });

  test.each(['weights.bin', 'config.json'])('an encrypted graph with a clear %s', async (name) => {
    await putSealed('sealed/1/model.onnx', name === 'weights.bin' ? WITH_EXTERNAL : MODEL);
    await put(`sealed/1/${name}`, name === 'weights.bin' ? WEIGHTS : '{}');
    expect(await broken('MODEL_SEAL_INVALID')).toContain('encrypted whole');
  });

  test('ciphertext that is no model once it is opened', async () => {
    await putSealed('sealed/1/model.onnx', Buffer.from('not a model'));
    await broken('MODEL_FILE_INVALID');
  });
});

describe('a key that comes later', () => {
  test('makes the model ready, beside versions that were', async () => {
    await put('model/1/model.onnx', MODEL);
    await putSealed('model/2/model.onnx', addModel(initializer('w', [4], [5, 5, 5, 5])));
    await putSealed('blocked/1/model.onnx', MODEL, 'kbs:///acme/model-key/refused');
    let there = false;
    keys.answer = async ({ tag }) => {
      if (tag === 'refused') throw refused('no');
      if (!there) throw unreachable('not reached');
      return new Uint8Array(key);
    };
    const repository = await load();
    expect(outcomes(repository)).toEqual({
      'model/1': 'ready',
      'model/2': 'MODEL_KEY_UNAVAILABLE',
      'blocked/1': 'MODEL_KEY_REFUSED',
    });
    expect(() => repository.get('model')).toThrow(expect.objectContaining({ code: 'MODEL_NOT_READY' }));
    expect(await repository.retryKeys()).toEqual([]);
    expect(repository.awaitsKeys).toBe(true);

    there = true;
    const ready: LoadedModel[] = [];
    const stop = retryKeys(repository, (model) => ready.push(model), silent, 5);
    await until(() => ready.length > 0, 'the key is asked for again');
    stop();
    expect(ready.map(({ name, version, versions }) => [name, version, versions])).toEqual([['model', '2', ['1', '2']]]);
    expect(repository.get('model', '1').versions).toEqual(['1', '2']);
    expect(await run(repository, 'model')).toEqual([6, 6, 6, 6]);
    expect(repository.awaitsKeys).toBe(false);
    expect(keys.asked.filter((kid) => kid.endsWith('refused')).length).toBe(1);
    expect(keys.given.every((given) => given.every((byte) => byte === 0))).toBe(true);
  });

  test('is not waited for when no provider could give it', async () => {
    await putSealed('sealed/1/model.onnx', MODEL);
    expect((await load(null)).awaitsKeys).toBe(false);
  });

  test('finds the folder as it is by then', async () => {
    await putSealed('sealed/1/model.onnx', MODEL);
    keys.answer = () => Promise.reject(unreachable('not reached'));
    const repository = await load();
    await rename(path.join(dir, 'sealed'), path.join(dir, 'moved'));
    expect(await repository.retryKeys()).toEqual([]);
    expect(outcomes(repository)).toEqual({ 'sealed/1': 'MODEL_REPOSITORY_INVALID' });
  });
});
