import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readTensorProto } from '../../cli/tensor-proto.ts';
import {
  encodeInferRequest,
  JSON_LENGTH_HEADER,
  parseInferResponse,
  parseJsonLength,
} from '../../protocol/inference.ts';
import type { Tensor, TensorSpec } from '../../protocol/tensor.ts';
import { tensorValues } from '../../protocol/tensor-values.ts';
import { type Served, serve, temporaryFolder } from '../support/cli.ts';
import { sharedFolder } from '../support/shared.ts';
import { expectTensor } from '../support/tensors.ts';

const suite = sharedFolder('onnx-node');
const names = suite ? readdirSync(suite).filter((name) => statSync(path.join(suite, name)).isDirectory()) : [];

/** What cannot be served, with the code that says so: onnxruntime-node's binding has no bfloat16 tensors. */
const UNSERVABLE: Record<string, string> = { test_cast_FLOAT_to_BFLOAT16: 'MODEL_TYPE_UNSUPPORTED' };

describe.skipIf(!suite)("ONNX's own operator tests over HTTP", () => {
  const { folder, remove } = temporaryFolder();
  let served: Served;

  beforeAll(async () => {
    for (const name of names) {
      const version = path.join(folder, 'models', name, '1');
      mkdirSync(version, { recursive: true });
      copyFileSync(path.join(suite as string, name, 'model.onnx'), path.join(version, 'model.onnx'));
    }
    served = await serve(path.join(folder, 'data'), ['--models', path.join(folder, 'models'), '--allow-plaintext']);
  });
  afterAll(async () => {
    expect(await served?.stop()).toBe(0);
    remove();
  });

  const dataOf = (name: string, prefix: string): Tensor[] => {
    const set = path.join(suite as string, name, 'test_data_set_0');
    return readdirSync(set)
      .filter((file) => file.startsWith(prefix))
      .sort()
      .map((file) => readTensorProto(new Uint8Array(readFileSync(path.join(set, file))), file));
  };

  async function run(name: string, binary: boolean, binaryOutput = binary) {
    const metadata = (await (await fetch(`${served.url}/v2/models/${name}`)).json()) as {
      inputs: TensorSpec[];
      outputs: TensorSpec[];
    };
    const inputs = dataOf(name, 'input').map(
      (tensor, i) => ({ ...tensor, name: metadata.inputs[i]?.name ?? '' }) as Tensor,
    );
    const outputs = metadata.outputs.map((output) => ({ name: output.name, binary: binaryOutput }));
    const { body, jsonLength, contentType } = encodeInferRequest({ inputs, outputs, binary });
    const response = await fetch(`${served.url}/v2/models/${name}/infer`, {
      method: 'POST',
      body,
      headers: {
        'content-type': contentType,
        ...(jsonLength === null ? {} : { [JSON_LENGTH_HEADER]: String(jsonLength) }),
      },
    });
    const answer = new Uint8Array(await response.arrayBuffer());
    return { response, answer };
  }

  function expectOutputs(name: string, response: Response, answer: Uint8Array): void {
    expect(response.status, new TextDecoder().decode(answer)).toBe(200);
    const { outputs } = parseInferResponse(answer, parseJsonLength(response.headers.get(JSON_LENGTH_HEADER)));
    const expected = dataOf(name, 'output');
    expect(outputs).toHaveLength(expected.length);
    for (const [i, output] of outputs.entries())
      expectTensor(output, expected[i] as Tensor, { rtol: 1e-3, atol: 1e-5 });
  }

  test.each(names.filter((name) => !(name in UNSERVABLE)))('%s as binary tensors', async (name) => {
    const { response, answer } = await run(name, true);
    expectOutputs(name, response, answer);
  });

  /** NaN and infinities are not JSON: such an output is refused with the advice to ask for binary data. */
  const isFinite64 = (output: Tensor) =>
    output.datatype !== 'FP64' || Array.from(tensorValues({ ...output, datatype: 'FP64' })).every(Number.isFinite);
  const inJson = (tensors: readonly Tensor[]) =>
    tensors.every(({ datatype }) => datatype !== 'FP16' && datatype !== 'BF16');

  test.each(names.filter((name) => !(name in UNSERVABLE)))('%s as JSON, where the datatype allows', async (name) => {
    if (inJson(dataOf(name, 'input')) && inJson(dataOf(name, 'output'))) {
      const { response, answer } = await run(name, false);
      expectOutputs(name, response, answer);
      return;
    }
    // FP16 and BF16 have no JSON form in the protocol: the refusal is coded and names tensor and datatype.
    const { response, answer } = await run(name, true, false);
    const outputs = dataOf(name, 'output');
    if (inJson(outputs) && outputs.every(isFinite64)) expectOutputs(name, response, answer);
    else if (inJson(outputs)) expect(JSON.parse(new TextDecoder().decode(answer)).code).toBe('OUTPUT_NOT_FINITE');
    else expect(JSON.parse(new TextDecoder().decode(answer)).code).toBe('TENSOR_DATATYPE_BINARY_ONLY');
    const [input] = dataOf(name, 'input') as [Tensor];
    if (!inJson([input])) {
      const metadata = (await (await fetch(`${served.url}/v2/models/${name}`)).json()) as { inputs: TensorSpec[] };
      const body = JSON.stringify({
        inputs: [
          {
            name: metadata.inputs[0]?.name,
            datatype: input.datatype,
            shape: input.shape,
            data: Array(input.data.length / 2).fill(0),
          },
        ],
      });
      const refused = await fetch(`${served.url}/v2/models/${name}/infer`, { method: 'POST', body });
      expect(refused.status).toBe(400);
      const error = (await refused.json()) as { error: string; code: string };
      expect(error.code).toBe('TENSOR_DATATYPE_BINARY_ONLY');
      expect(error.error).toContain(input.datatype);
    }
  });

  test.each(Object.entries(UNSERVABLE).filter(([name]) => names.includes(name)))(
    '%s is refused as %s',
    async (name, code) => {
      const ready = await fetch(`${served.url}/v2/models/${name}/ready`);
      expect(ready.status).toBe(503);
      const error = (await ready.json()) as { error: string; code: string };
      expect(error.code).toBe('MODEL_NOT_READY');
      expect(error.error).toContain(code);
      expect((await fetch(`${served.url}/readyz`)).status).toBe(200);
    },
  );

  test('every test of the folder was accounted for', () => {
    expect(names.length).toBeGreaterThan(10);
  });
});
