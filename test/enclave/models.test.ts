import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { encodeCbor, hex, modelDigest, sha256, utf8 } from '@veritee/protocol';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Engine } from '../../enclave/engine/engine.ts';
import { inspectOnnx, NotOnnx } from '../../enclave/models/onnx.ts';
import { loadRepository, type Repository, type RepositoryOptions } from '../../enclave/models/repository.ts';
import {
  ATTRIBUTE,
  addModel,
  external,
  FLOAT,
  floats,
  INT64,
  initializer,
  model,
  node,
  STRING,
  value,
} from './onnx-builder.ts';
import { buildWorker } from './worker-url.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workerUrl: buildWorker() });
});
afterAll(async () => engine.close());

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'veritee-models-'));
});
afterEach(async () => rm(dir, { recursive: true }));

async function put(file: string, content: Uint8Array | string): Promise<void> {
  await mkdir(path.dirname(path.join(dir, file)), { recursive: true });
  await writeFile(path.join(dir, file), content);
}

const load = (options?: RepositoryOptions): Promise<Repository> => loadRepository(dir, engine, options);
const GOOD = addModel(initializer('w', [4], [1, 2, 3, 4]));
const WEIGHTS = floats([10, 20, 30, 40]);

/** What came of each version: `ready`, or its code. */
const outcomes = (repository: Repository): Record<string, string> =>
  Object.fromEntries(
    repository.list().map(({ name, version, error }) => [`${name}/${version}`, error ? error.code : 'ready']),
  );

async function addedTo(repository: Repository, name: string, version?: string): Promise<number[]> {
  const x = { name: 'x', datatype: 'FP32', shape: [1, 4], data: floats([1, 1, 1, 1]) } as const;
  const { outputs } = await engine.run(repository.get(name, version), [x], ['y']);
  return [...new Float32Array((outputs[0]!.data as Uint8Array<ArrayBuffer>).slice().buffer)];
}

const refusal = (code: string, field?: unknown) =>
  expect.objectContaining(field === undefined ? { code } : { code, field });

describe('model digest', () => {
  const digest = sha256(utf8('x'));

  test('is SHA-256 over the canonical CBOR map of paths and file digests', () => {
    const files = new Map([
      ['weights/part-0.bin', digest],
      ['model.onnx', sha256(utf8('m'))],
    ]);
    const other = new Map([...files].reverse());
    expect(hex(modelDigest(files))).toBe(createHash('sha256').update(encodeCbor(files)).digest('hex'));
    expect(modelDigest(other)).toEqual(modelDigest(files));
    // One file, written out by hand: map(1), text(10) "model.onnx", bytes(32).
    const byHand = Buffer.concat([Buffer.from('a16a6d6f64656c2e6f6e6e785820', 'hex'), digest]);
    expect(hex(modelDigest(new Map([['model.onnx', digest]])))).toBe(createHash('sha256').update(byHand).digest('hex'));
  });

  for (const bad of ['', '/a', 'a/', 'a//b', '.', '..', 'a/../b', './a', 'a\\b', 'a\0b', 'e\u0301', '\ud800']) {
    test(`refuses the path ${JSON.stringify(bad)}`, () => {
      expect(() => modelDigest(new Map([[bad, digest]]))).toThrowError(
        refusal('EVIDENCE_MALFORMED', `files[${JSON.stringify(bad)}]`),
      );
    });
  }

  test('refuses a model without files', () => {
    expect(() => modelDigest(new Map())).toThrowError(refusal('EVIDENCE_MALFORMED', 'files'));
  });
});

describe('a good repository', () => {
  test('gives names, versions, digests and tensors', async () => {
    await put('add/1/model.onnx', GOOD);
    await put('add/1/notes/read me.txt', 'é');
    const repository = await load();
    const loaded = repository.get('add');
    const file = (content: Uint8Array | string) => createHash('sha256').update(content).digest('hex');
    expect(Object.fromEntries([...loaded.files].map(([name, digest]) => [name, hex(digest)]))).toEqual({
      'model.onnx': file(GOOD),
      'notes/read me.txt': file('é'),
    });
    expect(loaded).toMatchObject({
      name: 'add',
      version: '1',
      versions: ['1'],
      platform: 'onnx_onnxv1',
      config: null,
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 4] }],
    });
    expect(loaded.digest).toEqual(modelDigest(loaded.files));
    expect(repository.warnings).toEqual([]);
    expect(await addedTo(repository, 'add')).toEqual([2, 3, 4, 5]);
  });

  test('orders versions by number and serves the highest', async () => {
    for (const [version, first] of [
      ['2', 2],
      ['10', 10],
      ['9', 9],
    ] as const) {
      await put(`add/${version}/model.onnx`, addModel(initializer('w', [4], [first, 0, 0, 0])));
    }
    const repository = await load();
    expect(repository.get('add').version).toBe('10');
    expect(repository.get('add').versions).toEqual(['2', '9', '10']);
    expect(repository.list().map(({ version }) => version)).toEqual(['2', '9', '10']);
    expect(await addedTo(repository, 'add')).toEqual([11, 1, 1, 1]);
    expect(await addedTo(repository, 'add', '9')).toEqual([10, 1, 1, 1]);
  });

  test('leaves initializers out of the inputs, as older ONNX lists them there too', async () => {
    const graph = {
      node: [node('Add', ['x', 'w'], ['y'])],
      input: [value('w', FLOAT, [4]), value('x', FLOAT, ['n', 4])],
      output: [value('y', FLOAT, ['n', 4])],
      initializer: [initializer('w', [4], [1, 2, 3, 4])],
    };
    await put('ir3/1/model.onnx', model(graph, { irVersion: 3 }));
    await put('ir8/1/model.onnx', model(graph));
    const repository = await load();
    for (const name of ['ir3', 'ir8']) {
      expect(repository.get(name).inputs.map((input) => input.name)).toEqual(['x']);
      expect(await addedTo(repository, name)).toEqual([2, 3, 4, 5]);
    }
  });

  test('keeps graph order, and tells a scalar from an output of unknown rank', async () => {
    const graph = {
      node: [
        node('Reshape', ['z', 's'], ['open']),
        node('ReduceSum', ['a'], ['scalar'], { attribute: [{ name: 'keepdims', i: 0, type: ATTRIBUTE.INT }] }),
      ],
      input: [value('z', FLOAT, ['n']), value('s', INT64, ['r']), value('a', FLOAT, [2])],
      output: [value('scalar', FLOAT, []), value('open', FLOAT, null)],
    };
    await put('order/1/model.onnx', model(graph));
    const { inputs, outputs } = (await load()).get('order');
    expect(inputs.map(({ name }) => name)).toEqual(['z', 's', 'a']);
    expect(outputs).toEqual([
      { name: 'scalar', datatype: 'FP32', shape: [] },
      { name: 'open', datatype: 'FP32', shape: [-1] },
    ]);
  });

  test('reads config.json for people', async () => {
    await put('add/1/model.onnx', GOOD);
    await put('add/1/config.json', '{"description": "adds", "labels": {"owner": "tests"}}');
    const { config, files } = (await load()).get('add');
    expect(config).toEqual({ description: 'adds', labels: new Map([['owner', 'tests']]) });
    expect([...files.keys()]).toEqual(['config.json', 'model.onnx']);
  });

  test('tells how far it is with a large model', async () => {
    await put('add/1/model.onnx', GOOD);
    await put('add/1/ballast.bin', Buffer.alloc(9 << 20));
    const told: string[] = [];
    await load({ onProgress: (text) => told.push(text), progressAfterMs: 0 });
    const total = (9 << 20) + GOOD.length;
    expect(told).toContain(`model add/1: read ${4 << 20} of ${total} bytes`);
    expect(told.at(-1)).toBe(`model add/1: read ${total} of ${total} bytes`);
  });
});

describe('external data', () => {
  const modelWith = (facts: Record<string, string>) => addModel(external('w', [4], facts));

  test('is loaded from the bytes that were hashed', async () => {
    await put('ext/1/model.onnx', modelWith({ location: 'weights.bin' }));
    await put('ext/1/weights.bin', WEIGHTS);
    await put('deep/1/model.onnx', modelWith({ location: 'a dir/w.bin', offset: '4', length: '16' }));
    await put('deep/1/a dir/w.bin', Buffer.concat([Buffer.alloc(4), WEIGHTS]));
    const repository = await load();
    expect(outcomes(repository)).toEqual({ 'ext/1': 'ready', 'deep/1': 'ready' });
    expect([...repository.get('deep').files.keys()]).toEqual(['a dir/w.bin', 'model.onnx']);
    await rm(dir, { recursive: true });
    await mkdir(dir);
    for (const name of ['ext', 'deep']) expect(await addedTo(repository, name)).toEqual([11, 21, 31, 41]);
  });

  test('of a Constant node is loaded too', async () => {
    const constant = { name: 'value', t: external('w', [4], { location: 'w.bin' }), type: ATTRIBUTE.TENSOR };
    await put('c/1/w.bin', WEIGHTS);
    await put(
      'c/1/model.onnx',
      model({
        node: [node('Constant', [], ['w'], { attribute: [constant] }), node('Add', ['x', 'w'], ['y'])],
        input: [value('x', FLOAT, ['n', 4])],
        output: [value('y', FLOAT, ['n', 4])],
      }),
    );
    expect(await addedTo(await load(), 'c')).toEqual([11, 21, 31, 41]);
  });

  test('changes the digest', async () => {
    await put('ext/1/model.onnx', modelWith({ location: 'w' }));
    await put('ext/1/w', WEIGHTS);
    const before = (await load()).get('ext').digest;
    await put('ext/1/w', floats([10, 20, 30, 41]));
    expect((await load()).get('ext').digest).not.toEqual(before);
  });

  const missing: Record<string, Record<string, string>> = {
    'no such file': { location: 'other.bin' },
    'outside the folder': { location: '../w.bin' },
    'an absolute path': { location: '/etc/hostname' },
    'a dot segment': { location: './w.bin' },
    'too short': { location: 'w.bin', offset: '4' },
    'too short for its length': { location: 'w.bin', offset: '4', length: '16' },
    'the address marker of onnxruntime': { location: '*/_ORT_MEM_ADDR_/*', offset: '4096', length: '16' },
  };
  for (const [name, facts] of Object.entries(missing)) {
    test(`refuses ${name}`, async () => {
      await put('ext/1/model.onnx', modelWith(facts));
      await put('ext/1/w.bin', WEIGHTS);
      await put('ext/w.bin', WEIGHTS);
      const [status] = (await load()).list();
      expect(status?.error).toMatchObject({ code: 'MODEL_EXTERNAL_DATA_MISSING', field: facts.location });
    });
  }

  for (const marker of ['*/_ORT_MEM_ADDR_/*', '*/_ORT_NATIVE_ENDIAN_MEM_ADDR_/*']) {
    test(`refuses the memory address ${marker}, even when a file has that name`, async () => {
      await put('ext/1/model.onnx', modelWith({ location: marker, offset: '4096', length: '16' }));
      await put(`ext/1/${marker}`, Buffer.alloc(8192));
      expect(outcomes(await load())).toEqual({ 'ext/1': 'MODEL_FILE_INVALID' });
    });
  }

  test('refuses a truncated file', async () => {
    await put('ext/1/model.onnx', modelWith({ location: 'w.bin' }));
    await put('ext/1/w.bin', WEIGHTS);
    await truncate(path.join(dir, 'ext/1/w.bin'), 15);
    expect(outcomes(await load())).toEqual({ 'ext/1': 'MODEL_EXTERNAL_DATA_MISSING' });
  });

  const malformed: Record<string, Record<string, string>> = {
    'no location': { offset: '0' },
    'a negative offset': { location: 'w.bin', offset: '-4' },
    'an offset in hexadecimal': { location: 'w.bin', offset: '0x0' },
    'an unknown key': { location: 'w.bin', prepacked_0: 'k|0;16' },
  };
  for (const [name, facts] of Object.entries(malformed)) {
    test(`refuses ${name}`, async () => {
      await put('ext/1/model.onnx', modelWith(facts));
      await put('ext/1/w.bin', WEIGHTS);
      expect(outcomes(await load())).toEqual({ 'ext/1': 'MODEL_FILE_INVALID' });
    });
  }

  /** In these places onnxruntime takes the file from the working directory, whatever it was given in memory. */
  describe('where onnxruntime would read the disk', () => {
    const ext = (name: string) => external(name, [4], { location: 'w.bin' });
    const io = { input: [value('x', FLOAT, ['n', 4])], output: [value('y', FLOAT, ['n', 4])] };
    const branch = (name: string) => ({
      name,
      node: [node('Add', ['x', `${name}w`], [`${name}y`])],
      output: [value(`${name}y`, FLOAT, ['n', 4])],
      initializer: [ext(`${name}w`)],
    });
    const attribute = (name: string, rest: Record<string, unknown>) => ({ name, ...rest });
    const constant = node('Constant', [], ['w'], { attribute: [attribute('value', { t: ext('w'), type: 4 })] });
    const models: Record<string, Uint8Array> = {
      'a subgraph': model({
        ...io,
        input: [...io.input, value('c', 9, [])],
        node: [
          node('If', ['c'], ['y'], {
            attribute: [
              attribute('then_branch', { g: branch('t'), type: ATTRIBUTE.GRAPH }),
              attribute('else_branch', { g: branch('e'), type: ATTRIBUTE.GRAPH }),
            ],
          }),
        ],
      }),
      'a Constant in a subgraph': model({
        ...io,
        node: [node('X', ['x'], ['y'], { attribute: [attribute('b', { g: { name: 'g', node: [constant] } })] })],
      }),
      'a function': model(
        { ...io, node: [node('F', ['x'], ['y'], { domain: 'my' })] },
        {
          opsetImport: [
            { domain: '', version: 17 },
            { domain: 'my', version: 1 },
          ],
          functions: [
            {
              name: 'F',
              domain: 'my',
              input: ['a'],
              output: ['b'],
              opsetImport: [{ domain: '', version: 17 }],
              node: [constant, node('Add', ['a', 'w'], ['b'])],
            },
          ],
        },
      ),
      'a sparse initializer': model({
        ...io,
        node: [node('Add', ['x', 'w'], ['y'])],
        sparseInitializer: [
          { dims: [4], values: ext('w'), indices: { dims: [4], dataType: INT64, int64Data: [0, 1, 2, 3] } },
        ],
      }),
      'an attribute that is no Constant': model({
        ...io,
        node: [node('X', ['x'], ['y'], { attribute: [attribute('value', { t: ext('w') })] })],
      }),
      'a list of tensors': model({
        ...io,
        node: [node('X', ['x'], ['y'], { attribute: [attribute('value', { tensors: [ext('w')] })] })],
      }),
    };
    for (const [name, bytes] of Object.entries(models)) {
      test(`refuses it in ${name}`, async () => {
        await put('ext/1/model.onnx', bytes);
        await put('ext/1/w.bin', WEIGHTS);
        const [status] = (await load()).list();
        expect(status?.error).toMatchObject({ code: 'MODEL_FILE_INVALID', field: 'ext/1/model.onnx' });
        expect(status?.error?.message).toContain('past the model digest');
      });
    }
  });
});

describe('a version that cannot be served', () => {
  test('stops neither the others nor the repository', async () => {
    await put('add/1/model.onnx', GOOD);
    await put('add/2/model.onnx', 'not an ONNX file');
    await put('bare/1/readme.txt', '');
    await mkdir(path.join(dir, 'empty'));
    await put('other/1/model.onnx', GOOD);
    const repository = await load();
    expect(outcomes(repository)).toEqual({
      'add/1': 'ready',
      'add/2': 'MODEL_FILE_INVALID',
      'bare/1': 'MODEL_FILE_MISSING',
      'empty/null': 'MODEL_FILE_MISSING',
      'other/1': 'ready',
    });
    expect(repository.ready().map(({ name, version }) => `${name}/${version}`)).toEqual(['add/1', 'other/1']);
    expect(repository.get('add', '1').versions).toEqual(['1']);
    expect(() => repository.get('add')).toThrowError(refusal('MODEL_NOT_READY', 'model'));
    expect(() => repository.get('add')).toThrowError(/MODEL_FILE_INVALID: add\/2\/model\.onnx/);
    expect(() => repository.get('empty')).toThrowError(refusal('MODEL_NOT_READY'));
    expect(() => repository.get('add', '3')).toThrowError(refusal('MODEL_VERSION_UNKNOWN', 'version'));
    expect(() => repository.get('add', '01')).toThrowError(refusal('MODEL_VERSION_UNKNOWN'));
    expect(() => repository.get('nobody')).toThrowError(refusal('MODEL_UNKNOWN', 'model'));
    expect(() => repository.get('__proto__')).toThrowError(refusal('MODEL_UNKNOWN'));
  });

  const types: Record<string, [string, unknown]> = {
    'a sequence': ['s', { sequenceType: { elemType: { tensorType: { elemType: FLOAT } } } }],
    'a map': ['m', { mapType: { keyType: INT64, valueType: { tensorType: { elemType: FLOAT } } } }],
    'an optional': ['o', { optionalType: { elemType: { tensorType: { elemType: FLOAT } } } }],
    'a sparse tensor': ['p', { sparseTensorType: { elemType: FLOAT } }],
    bfloat16: ['b', { tensorType: { elemType: 16, shape: {} } }],
    complex64: ['c', { tensorType: { elemType: 14, shape: {} } }],
    float8: ['f', { tensorType: { elemType: 17, shape: {} } }],
    int4: ['i', { tensorType: { elemType: 22, shape: {} } }],
    'a type not yet invented': ['n', { tensorType: { elemType: 99, shape: {} } }],
    'no shape': ['u', { tensorType: { elemType: FLOAT } }],
  };
  for (const [kind, [name, type]] of Object.entries(types)) {
    test(`names the tensor that is ${kind}`, async () => {
      const graph = {
        node: [node('Identity', [name], ['y'])],
        input: [{ name, type }],
        output: [value('y', FLOAT, [])],
      };
      await put('t/1/model.onnx', model(graph));
      const [status] = (await load()).list();
      expect(status?.error).toMatchObject({ code: 'MODEL_TYPE_UNSUPPORTED', field: name });
    });
  }

  test('an output whose unsupported type only the runtime finds out', async () => {
    const to = { name: 'to', i: 16, type: ATTRIBUTE.INT };
    const graph = {
      node: [node('Cast', ['x'], ['y'], { attribute: [to] })],
      input: [value('x', FLOAT, [2])],
      output: [{ name: 'y' }],
    };
    await put('cast/1/model.onnx', model(graph));
    expect(outcomes(await load())).toEqual({ 'cast/1': 'MODEL_TYPE_UNSUPPORTED' });
  });

  test('a graph that onnxruntime refuses', async () => {
    const graph = {
      node: [node('NoSuchOperator', ['x'], ['y'])],
      input: [value('x', FLOAT, [2])],
      output: [value('y', FLOAT, [2])],
    };
    await put('op/1/model.onnx', model(graph));
    const [status] = (await load()).list();
    expect(status?.error).toMatchObject({ code: 'MODEL_FILE_INVALID', field: 'op/1/model.onnx' });
    expect(status?.error?.message).toContain('NoSuchOperator');
  });

  test('onnxruntime’s own format, which looks like ONNX to nobody else', async () => {
    // A valid model whose producer_name holds the flatbuffer's mark at byte 4.
    const marked = (mark: string) => Buffer.concat([Buffer.from([0x12, 6, 0, 0]), Buffer.from(mark), GOOD]);
    await put('onnx/1/model.onnx', marked('ORTX'));
    await put('ort/1/model.onnx', marked('ORTM'));
    expect(outcomes(await load())).toEqual({ 'onnx/1': 'ready', 'ort/1': 'MODEL_FILE_INVALID' });
  });

  const configs = {
    'not JSON': '{',
    'a list': '[]',
    'an unknown member': '{"max_batch_size": 8}',
    'a duplicate member': '{"description": "a", "description": "b"}',
    'a description that is no text': '{"description": 1}',
    'labels that are no texts': '{"labels": {"a": 1}}',
    'a byte order mark': '\ufeff{}',
    'too much': JSON.stringify({ description: 'x'.repeat(5000) }),
  };
  for (const [name, text] of Object.entries(configs)) {
    test(`config.json with ${name}`, async () => {
      await put('add/1/model.onnx', GOOD);
      await put('add/1/config.json', text);
      expect(outcomes(await load())).toEqual({ 'add/1': 'MODEL_CONFIG_INVALID' });
    });
  }

  test('a link, a pipe, a link to a folder', async () => {
    for (const name of ['link', 'pipe', 'folder']) await put(`${name}/1/model.onnx`, GOOD);
    await symlink('/etc/hostname', path.join(dir, 'link/1/weights.bin'));
    execFileSync('mkfifo', [path.join(dir, 'pipe/1/weights.bin')]);
    await symlink(path.join(dir, 'link'), path.join(dir, 'folder/1/more'));
    await symlink(path.join(dir, 'link/1'), path.join(dir, 'folder/2'));
    await symlink(path.join(dir, 'link'), path.join(dir, 'model'));
    const repository = await load();
    expect(
      Object.fromEntries(repository.list().map((one) => [`${one.name}/${one.version}`, one.error?.field])),
    ).toEqual({
      'folder/1': 'folder/1/more',
      'folder/2': 'folder/2',
      'link/1': 'link/1/weights.bin',
      'model/null': 'model',
      'pipe/1': 'pipe/1/weights.bin',
    });
    for (const { error } of repository.list()) expect(error?.code).toBe('MODEL_REPOSITORY_INVALID');
  });

  test('file names that have two spellings, or none', async () => {
    for (const name of ['nfd', 'slash', 'bytes']) await put(`${name}/1/model.onnx`, GOOD);
    await put('nfd/1/e\u0301.bin', '');
    await put('slash/1/a\\b.bin', '');
    await writeFile(Buffer.concat([Buffer.from(path.join(dir, 'bytes/1/')), Buffer.of(0xff)]), '');
    expect(outcomes(await load())).toEqual({
      'bytes/1': 'MODEL_REPOSITORY_INVALID',
      'nfd/1': 'MODEL_REPOSITORY_INVALID',
      'slash/1': 'MODEL_REPOSITORY_INVALID',
    });
  });

  test('more files than a log entry can name', async () => {
    await put('many/1/model.onnx', GOOD);
    for (let i = 0; i < 512; i++) await put(`many/1/part-${i}`, '');
    await put('long/1/model.onnx', GOOD);
    for (let i = 0; i < 300; i++) await put(`long/1/${'x'.repeat(180)}-${i}`, '');
    expect(outcomes(await load())).toEqual({
      'long/1': 'MODEL_REPOSITORY_INVALID',
      'many/1': 'MODEL_REPOSITORY_INVALID',
    });
  });

  test('more bytes than the ceiling leaves; a smaller one after it is still served', async () => {
    await put('a/1/model.onnx', GOOD);
    await put('b/1/model.onnx', GOOD);
    await put('b/1/ballast.bin', Buffer.alloc(1000));
    await put('c/1/model.onnx', GOOD);
    const repository = await load({ maxBytes: 2 * GOOD.length });
    expect(outcomes(repository)).toEqual({ 'a/1': 'ready', 'b/1': 'MODEL_FILE_TOO_LARGE', 'c/1': 'ready' });
  });

  test('a model beyond what protobuf can hold is refused unread', async () => {
    await put('big/1/model.onnx', GOOD);
    await truncate(path.join(dir, 'big/1/model.onnx'), 2 ** 31); // sparse: takes no space
    const [status] = (await load()).list();
    expect(status?.error).toMatchObject({ code: 'MODEL_FILE_TOO_LARGE', field: 'big/1/model.onnx' });
  });
});

describe('the repository folder', () => {
  test('missing, or a file, is an error', async () => {
    await put('file', '');
    for (const where of ['missing', 'file']) {
      await expect(loadRepository(path.join(dir, where), engine)).rejects.toThrowError(
        refusal('MODEL_REPOSITORY_INVALID'),
      );
    }
  });

  test('empty is allowed, with a warning', async () => {
    const repository = await load();
    expect(repository.list()).toEqual([]);
    expect(repository.warnings).toEqual([{ path: '', message: `no model in ${dir}` }]);
  });

  test('what is left out is said, unless it is clearly no model', async () => {
    await put('README.md', '');
    await put('.git/config', '');
    await put('my model/1/model.onnx', GOOD);
    await put('add/1/model.onnx', GOOD);
    await put('add/01/model.onnx', GOOD);
    await put('add/0/model.onnx', GOOD);
    await put('add/latest/model.onnx', GOOD);
    await put('add/config.pbtxt', '');
    await put('add/labels.txt', '');
    const repository = await load();
    expect(outcomes(repository)).toEqual({ 'add/1': 'ready' });
    const left = repository.warnings.map((warning) => warning.path);
    expect(left).toEqual(['add/0', 'add/01', 'add/config.pbtxt', 'add/latest', 'my model']);
  });
});

describe('reading ONNX', () => {
  const full = model({
    node: [
      node('Constant', [], ['k'], { attribute: [{ name: 'value', t: initializer('k', [2], [1, 2]), type: 4 }] }),
      node('If', ['c'], ['y'], { attribute: [{ name: 'then_branch', g: { name: 'g' }, type: 5 }] }),
    ],
    input: [value('c', 9, []), value('s', STRING, ['n'])],
    output: [value('y', FLOAT, null)],
    initializer: [external('w', [2, 3], { location: 'w.bin', offset: '8' })],
  });

  test('gives inputs, outputs and references', () => {
    expect(inspectOnnx(full)).toEqual({
      inputs: [
        { name: 'c', kind: 'tensor', elemType: 9, ranked: true },
        { name: 's', kind: 'tensor', elemType: STRING, ranked: true },
      ],
      outputs: [{ name: 'y', kind: 'tensor', elemType: FLOAT, ranked: false }],
      external: [
        {
          name: 'w',
          dims: [2, 3],
          elemType: FLOAT,
          facts: [
            ['location', 'w.bin'],
            ['offset', '8'],
          ],
          injectable: true,
        },
      ],
    });
  });

  test('refuses every truncation, or reads what is whole', () => {
    let refused = 0;
    for (let length = 0; length < full.length; length++) {
      try {
        inspectOnnx(full.subarray(0, length));
      } catch (error) {
        expect(error).toBeInstanceOf(NotOnnx);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(full.length * 0.9); // only trailing whole fields can go
  });

  test('answers every changed byte with facts or NotOnnx', () => {
    for (let at = 0; at < full.length; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const changed = full.slice();
        changed[at] = (changed[at] as number) ^ flip;
        try {
          inspectOnnx(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(NotOnnx);
        }
      }
    }
  });

  test('refuses a known field in a wire type that others would skip', () => {
    const graph = Uint8Array.of((7 << 3) | 1, 0, 0, 0, 0, 0, 0, 0, 0);
    expect(() => inspectOnnx(Buffer.concat([full, graph]))).toThrowError(NotOnnx);
  });

  test('refuses graphs nested without end', () => {
    const varint = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >> 7)]);
    const field = (id: number, inner: Uint8Array): Uint8Array =>
      Buffer.concat([Buffer.from([(id << 3) | 2, ...varint(inner.length)]), inner]);
    const nested = (depth: number): Uint8Array =>
      depth === 0 ? new Uint8Array() : field(1, field(5, field(6, nested(depth - 1)))); // node, attribute, graph
    const file = (depth: number) => Buffer.concat([Buffer.of(0x08, 8), field(7, nested(depth))]);
    expect(inspectOnnx(file(60)).inputs).toEqual([]);
    expect(() => inspectOnnx(file(65))).toThrowError(NotOnnx);
    expect(() => inspectOnnx(file(1000))).toThrowError(NotOnnx);
  });

  test('keeps nothing of ten million empty nodes', () => {
    const count = 10_000_000;
    const length = 2 * count;
    const varint = [(length & 127) | 128, ((length >> 7) & 127) | 128, ((length >> 14) & 127) | 128, length >> 21];
    const file = Buffer.alloc(7 + length);
    file.set([0x08, 8, (7 << 3) | 2, ...varint]);
    for (let at = 7; at < file.length; at += 2) file[at] = 0x0a; // node, length 0
    const before = process.memoryUsage().heapUsed;
    expect(inspectOnnx(file).inputs).toEqual([]);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 << 20);
  });
});
