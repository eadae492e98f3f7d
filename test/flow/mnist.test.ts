import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readTensorProto } from '../../cli/tensor-proto.ts';
import { parseInferResponse } from '../../protocol/inference.ts';
import type { Tensor } from '../../protocol/tensor.ts';
import { draftPolicyFor, type Served, serve, temporaryFolder, veritee } from '../support/cli.ts';
import { sharedFolder } from '../support/shared.ts';
import { expectTensor } from '../support/tensors.ts';

const models = sharedFolder('models');
const digits = sharedFolder('model-data', 'mnist');

describe.skipIf(!models || !digits)('a real digit recogniser, through the command line', () => {
  const { folder, remove } = temporaryFolder();
  let served: Served;
  let policy: string;

  beforeAll(async () => {
    served = await serve(path.join(folder, 'data'), ['--models', models as string, '--allow-plaintext']);
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
    '%s gives the expected logits and a hardware-committed receipt',
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
});
