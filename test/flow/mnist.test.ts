import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readTensorProto } from '../../cli/tensor-proto.ts';
import { VeriteeClient } from '../../client/index.ts';
import { encodeInferRequest, parseInferResponse } from '../../protocol/inference.ts';
import type { Tensor } from '../../protocol/tensor.ts';
import { tensorValues } from '../../protocol/tensor-values.ts';
import { readPolicy } from '../../verifier/index.ts';
import { draftPolicyFor, LAUNCHER, type Served, serve, temporaryFolder, veritee } from '../support/cli.ts';
import { until } from '../support/load.ts';
import { sharedFolder } from '../support/shared.ts';
import { expectTensor } from '../support/tensors.ts';

const models = sharedFolder('models');
const digits = sharedFolder('model-data', 'mnist');

describe.skipIf(!models || !digits)('a real digit recogniser, sealed', () => {
  const { folder, remove } = temporaryFolder();
  let served: Served;
  let policy: string;

  beforeAll(async () => {
    served = await serve(path.join(folder, 'data'), ['--models', models as string]);
    policy = await draftPolicyFor(served);
  });
  afterAll(async () => {
    expect(await served?.stop()).toBe(0);
    remove();
  });

  /** The response body kept beside a receipt, and how its JSON part is framed. */
  const answerOf = (receipt: string, jsonLength: number | null): Tensor => {
    const [output] = parseInferResponse(new Uint8Array(readFileSync(`${receipt}.response`)), jsonLength).outputs;
    return output as Tensor;
  };

  test.each(['test_data_set_0', 'test_data_set_1'])(
    '%s through the command line gives the expected logits and a hardware-committed receipt',
    async (set) => {
      const files = path.join(digits as string, set);
      const request = path.join(folder, `${set}.json`);
      const made = await veritee(['tensors', `Input3=${path.join(files, 'input_0.pb')}`]);
      expect(made.status, made.stderr).toBe(0);
      writeFileSync(request, made.stdout);
      const expected = readTensorProto(new Uint8Array(readFileSync(path.join(files, 'output_0.pb'))), 'output_0.pb');

      const answers: Tensor[] = [];
      for (const binary of [false, true]) {
        const receipt = path.join(folder, `${set}-${binary}.veritee`);
        const ran = await veritee([
          'infer',
          ...['--url', served.url, '--model', 'mnist', '--input', request, '--policy', policy],
          ...['--wait-for', 'hardware', '--receipt-out', receipt, '--json'],
          ...(binary ? ['--binary'] : []),
        ]);
        expect(ran.status, ran.stderr).toBe(0);
        const result = JSON.parse(ran.stdout);
        expect(result).toMatchObject({
          verdict: 'affirming',
          strength: 'hardware-committed',
          platform: 'simulated-snp',
        });
        expect(result.outputs[0]).toMatchObject({ name: 'Plus214_Output_0', datatype: 'FP32', shape: [1, 10] });

        const { requestSalt, responseSalt } = JSON.parse(readFileSync(`${receipt}.private.json`, 'utf8'));
        const verified = await veritee([
          ...['verify', receipt, '--policy', policy, '--json'],
          ...['--request', `${receipt}.request`, '--request-salt', requestSalt],
          ...['--response', `${receipt}.response`, '--response-salt', responseSalt],
        ]);
        expect(verified.status, verified.stdout).toBe(0);
        expect(JSON.parse(verified.stdout)).toMatchObject({ verdict: 'affirming', strength: 'hardware-committed' });

        const wrongSalt = await veritee([
          ...['verify', receipt, '--policy', policy, '--json'],
          ...['--response', `${receipt}.response`, '--response-salt', requestSalt],
        ]);
        expect(wrongSalt.status).toBe(1);
        expect(JSON.parse(wrongSalt.stdout).findings.map((finding: { code: string }) => finding.code)).toEqual([
          'RESPONSE_MISMATCH',
        ]);

        answers.push(answerOf(receipt, JSON.parse(verified.stdout).claims.responseJsonLength ?? null));
      }
      const [json, binary] = answers as [Tensor, Tensor];
      expectTensor(json, expected, { rtol: 1e-5, atol: 2e-3 });
      expect(binary.data).toEqual(json.data);
    },
  );

  const requestOf = async (set: string): Promise<{ input: Tensor; expected: Tensor; json: string }> => {
    const read = (name: string) =>
      readTensorProto(new Uint8Array(readFileSync(path.join(digits as string, set, name))), name);
    const input = { ...read('input_0.pb'), name: 'Input3' };
    const { body } = encodeInferRequest({ inputs: [input], binary: false });
    return { input, expected: read('output_0.pb'), json: new TextDecoder().decode(body) };
  };

  test('the SDK, the command line and a proxy that plain HTTP goes to come to equal outputs', async () => {
    const { input, expected, json } = await requestOf('test_data_set_0');

    const client = new VeriteeClient({ url: served.url, policy: readPolicy(new Uint8Array(readFileSync(policy))) });
    const data = tensorValues(input) as Float32Array;
    const { outputs, receipt } = await client.infer('mnist', [{ name: 'Input3', shape: input.shape, data }], {
      waitFor: 'hardware',
    });
    expect([receipt.result.verdict, receipt.result.strength]).toEqual(['affirming', 'hardware-committed']);
    const logits = Array.from(outputs[0]?.data as Float32Array);
    expectTensor({ ...expected, data: new Uint8Array(Float32Array.from(logits).buffer) } as Tensor, expected, {
      rtol: 1e-5,
      atol: 2e-3,
    });

    const request = path.join(folder, 'equal.json');
    writeFileSync(request, json);
    const ran = await veritee([
      ...['infer', '--url', served.url, '--model', 'mnist', '--input', request, '--policy', policy, '--json'],
    ]);
    expect(ran.status, ran.stderr).toBe(0);
    expect(ran.stderr).toContain('the host cannot read it');
    expect(JSON.parse(ran.stdout).outputs[0].data.map(Number)).toEqual(logits);

    const receipts = path.join(folder, 'receipts');
    const proxy = spawn(
      process.execPath,
      [
        ...[LAUNCHER, 'proxy', '--url', served.url, '--policy', policy, '--listen', '127.0.0.1:0'],
        ...['--receipts', receipts, '--wait-for', 'hardware'],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let log = '';
    proxy.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    const ended = new Promise((resolve) => proxy.once('exit', resolve));
    try {
      const url = await until('the proxy is ready', () => /ready at (http:\/\/\S+),/.exec(log)?.[1] ?? null);
      const answer = await fetch(`${url}/v2/models/mnist/infer`, { method: 'POST', body: json });
      expect(answer.status).toBe(200);
      expect(((await answer.json()) as { outputs: { data: number[] }[] }).outputs[0]?.data).toEqual(logits);
      const file = path.join(receipts, `${answer.headers.get('veritee-receipt-id')}.veritee`);
      const verified = await veritee(['verify', file, '--policy', policy, '--json']);
      expect(verified.status, verified.stdout).toBe(0);
      expect(JSON.parse(verified.stdout)).toMatchObject({ verdict: 'affirming', strength: 'hardware-committed' });
    } finally {
      proxy.kill('SIGTERM');
    }
    expect(await ended).toBe(0);
  });
});
