import { type KeptReceipt, type ModelName, VeriteeClient } from '@veritee/client';
import {
  CodedError,
  encodeInferRequest,
  hex,
  MEDIA_TYPE_JSON,
  parseInferRequest,
  type Tensor,
} from '@veritee/protocol';
import { toJson } from '@veritee/verifier';
import { EXIT } from '../exit.ts';
import { print, printJson, readAnchors, readInput, readPolicy, say, writeOutput } from '../io.ts';
import { renderResult, tensorText } from '../render.ts';

const MAX_VALUES_SHOWN = 16;

export interface InferOptions {
  readonly url: string;
  readonly model: string;
  readonly input: string;
  readonly policy?: string;
  readonly trustAnchor: readonly string[];
  readonly binary: boolean;
  readonly waitFor?: string;
  readonly receiptOut?: string;
  readonly json: boolean;
}

export async function infer(options: InferOptions): Promise<number> {
  if (options.waitFor !== undefined && options.waitFor !== 'hardware')
    throw new CodedError('USAGE', '--wait-for: want hardware', { field: 'wait-for' });
  const policy = await readPolicy(options.policy);
  const body = await readInput(options.input);
  const client = new VeriteeClient({
    url: options.url,
    policy,
    trustAnchors: await readAnchors(options.trustAnchor),
    allowPlaintext: true,
  });
  await client.ready();
  say('✓ the service is attested: its session key is under a hardware report that answers a fresh nonce');
  say('! sealing comes in a later release: the request goes in the clear and the host can read it');
  const request = options.binary
    ? encodeInferRequest({ inputs: parseInferRequest(body, null).inputs, binary: true })
    : { body, jsonLength: null, contentType: MEDIA_TYPE_JSON };
  const { outputs, receipt } = await client.inferRaw(modelName(options.model), request);
  say('✓ the answer is signed by that session and commits to the exact bytes sent and received');
  const wait = options.waitFor === 'hardware' || policy.strength === 'hardware-committed';
  const kept = wait ? await client.hardwareCommitted(receipt) : receipt;
  if (wait) say('✓ a hardware report covers the answer');
  if (options.receiptOut !== undefined) await keep(options.receiptOut, kept);

  if (options.json) {
    printJson({
      ...toJson(kept.result),
      receiptId: kept.id,
      outputs: outputs.map((output) => ({ ...head(output), data: tensorText(output) })),
    });
  } else {
    for (const output of outputs) print(summary(output));
    say(`\n${renderResult(kept.result).split('\n\n')[0]}`);
  }
  return EXIT.done;
}

function modelName(text: string): ModelName {
  const [name, version, ...rest] = text.split('/');
  if (!name || rest.length > 0 || version === '')
    throw new CodedError('USAGE', '--model: want NAME or NAME/VERSION', { field: 'model' });
  return version === undefined ? { name } : { name, version };
}

/** The receipt for anyone; the salts and bodies for its owner alone. */
async function keep(path: string, receipt: KeptReceipt): Promise<void> {
  const { requestSalt, responseSalt, request, response } = receipt.private;
  await writeOutput(`${path}.request`, request);
  await writeOutput(`${path}.response`, response);
  await writeOutput(
    `${path}.private.json`,
    `${JSON.stringify({ receiptId: receipt.id, requestSalt: hex(requestSalt), responseSalt: hex(responseSalt) }, null, 2)}\n`,
  );
  await writeOutput(path, receipt.file);
  say(`✓ receipt written to ${path} (salts and exact bodies beside it, readable by you alone)`);
}

const head = ({ name, datatype, shape }: Tensor) => ({ name, datatype, shape });

function summary(output: Tensor): string {
  const values = tensorText(output);
  const more = values.length > MAX_VALUES_SHOWN ? `, … ${values.length - MAX_VALUES_SHOWN} more` : '';
  return `${output.name} ${output.datatype} [${output.shape}]: ${values.slice(0, MAX_VALUES_SHOWN).join(', ')}${more}`;
}
