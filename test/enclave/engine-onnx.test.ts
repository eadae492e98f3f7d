/** Real models from ../shared through repository and engine, against the outputs their authors published. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fromUtf8, type Tensor } from '@veritee/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readTensorProto } from '../../cli/tensor-proto.ts';
import { Engine } from '../../enclave/engine/engine.ts';
import { loadRepository, type Repository } from '../../enclave/models/repository.ts';
import { buildWorker } from './worker-url.ts';

const shared = path.resolve(import.meta.dirname, '../../../shared');
const nodeTests = path.join(shared, 'onnx-node');
const cases = existsSync(nodeTests)
  ? readdirSync(nodeTests, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
  : [];
const mnistData = path.join(shared, 'model-data/mnist');
if (cases.length === 0) console.warn(`SKIPPED: ONNX backend tests, ${nodeTests} is missing`);
if (!existsSync(mnistData)) console.warn(`SKIPPED: MNIST, ${mnistData} is missing`);

const tensors = (folder: string, kind: 'input' | 'output'): Tensor[] =>
  readdirSync(folder)
    .filter((file) => file.startsWith(`${kind}_`))
    .sort((a, b) => Number(/\d+/.exec(a)) - Number(/\d+/.exec(b)))
    .map((file) => readTensorProto(readFileSync(path.join(folder, file)), file));

function floats({ datatype, data }: Tensor): number[] | null {
  const { buffer } = new Uint8Array(data as Uint8Array<ArrayBuffer>);
  if (datatype === 'FP32') return [...new Float32Array(buffer)];
  if (datatype === 'FP64') return [...new Float64Array(buffer)];
  return null;
}

function expectClose(actual: Tensor, wanted: Tensor, rtol: number, atol: number): void {
  expect(actual.shape).toEqual(wanted.shape);
  expect(actual.datatype).toBe(wanted.datatype);
  const want = floats(wanted);
  if (!want) {
    if (wanted.datatype === 'BYTES')
      expect((actual.data as Uint8Array[]).map(fromUtf8)).toEqual(wanted.data.map(fromUtf8));
    else expect(actual.data).toEqual(wanted.data);
    return;
  }
  for (const [i, value] of (floats(actual) ?? []).entries()) {
    const target = want[i] as number;
    if (!Number.isFinite(target)) expect(value).toBe(target);
    else expect(Math.abs(value - target), `element ${i}`).toBeLessThanOrEqual(atol + rtol * Math.abs(target));
  }
}

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.start({ workerUrl: buildWorker() });
});
afterAll(async () => engine.close());

async function infer(repository: Repository, name: string, folder: string): Promise<readonly Tensor[]> {
  const model = repository.get(name);
  // The published files name tensors as the graph does, or leave the name out: then order decides.
  const inputs = tensors(folder, 'input').map((tensor, i) => ({ ...tensor, name: model.inputs[i]!.name }));
  for (const [i, input] of inputs.entries()) expect(input.datatype).toBe(model.inputs[i]!.datatype);
  const { outputs, durationUs } = await engine.run(
    model,
    inputs,
    model.outputs.map((output) => output.name),
  );
  expect(Number.isInteger(durationUs)).toBe(true);
  return outputs;
}

describe.skipIf(cases.length === 0)('ONNX backend tests', () => {
  let dir: string;
  let repository: Repository;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'veritee-models-'));
    for (const name of cases) {
      await mkdir(path.join(dir, name, '1'), { recursive: true });
      await copyFile(path.join(nodeTests, name, 'model.onnx'), path.join(dir, name, '1/model.onnx'));
    }
    repository = await loadRepository(dir, engine);
  });
  afterAll(async () => rm(dir, { recursive: true }));

  test('all are there', () => expect(cases.length).toBeGreaterThanOrEqual(15));

  for (const name of cases) {
    test(name, async () => {
      const folder = path.join(nodeTests, name, 'test_data_set_0');
      if (name.includes('BFLOAT16')) {
        const status = repository.list().find((one) => one.name === name);
        expect(status?.error).toMatchObject({ code: 'MODEL_TYPE_UNSUPPORTED', field: 'output' });
        expect(() => repository.get(name)).toThrowError(expect.objectContaining({ code: 'MODEL_NOT_READY' }));
        return;
      }
      const wanted = tensors(folder, 'output');
      const outputs = await infer(repository, name, folder);
      expect(outputs.length).toBe(wanted.length);
      for (const [i, output] of outputs.entries()) expectClose(output, wanted[i]!, 1e-3, 1e-5);
    });
  }
});

describe.skipIf(!existsSync(mnistData))('MNIST', () => {
  for (const set of ['test_data_set_0', 'test_data_set_1']) {
    test(set, async () => {
      const repository = await loadRepository(path.join(shared, 'models'), engine);
      const model = repository.get('mnist');
      expect(model.inputs).toHaveLength(1);
      const outputs = await infer(repository, 'mnist', path.join(mnistData, set));
      expectClose(outputs[0]!, tensors(path.join(mnistData, set), 'output')[0]!, 1e-5, 2e-3);
    });
  }
});
