import { type ModelName, type Receipt, VeriteeClient } from '@veritee/client';
import {
  type EncodedBody,
  encodeInferRequest,
  MEDIA_TYPE_JSON,
  parseInferRequest,
  type Tensor,
} from '@veritee/protocol';
import { toJson } from '@veritee/verifier';
import { EXIT } from '../exit.ts';
import { addReferenceValues, type ReferenceFlags, readAnchors, readPolicy, usage } from '../inputs.ts';
import { checkOutputs, type Output, print, printJson, readInput, say, writeOutputs } from '../io.ts';
import { renderResult, tensorText } from '../render.ts';

const MAX_VALUES_SHOWN = 16;

export interface InferOptions extends ReferenceFlags {
  readonly url: string;
  readonly model: string;
  readonly input: string;
  readonly policy?: string;
  readonly trustAnchor: readonly string[];
  readonly binary: boolean;
  readonly waitFor?: string;
  readonly receiptOut?: string;
  readonly allowPlaintext: boolean;
  readonly json: boolean;
}

export async function infer(options: InferOptions): Promise<number> {
  if (options.waitFor !== undefined && options.waitFor !== 'hardware') throw usage('wait-for', 'hardware');
  const model = modelName(options.model);
  const policy = await addReferenceValues(await readPolicy(options.policy), options);
  const trustAnchors = await readAnchors(options.trustAnchor);
  const request = requestOf(await readInput(options.input), options.binary);
  const { receiptOut, allowPlaintext } = options;
  if (receiptOut !== undefined) await checkOutputs(PARTS.map((part) => receiptOut + part));

  if (allowPlaintext)
    say('!! --allow-plaintext: the request and its answer go in the clear, and the host can read both');
  const client = new VeriteeClient({ url: options.url, policy, trustAnchors, allowPlaintext });
  await client.ready();
  say('✓ the service is attested: its session key is under a hardware report that answers a fresh nonce');
  if (!allowPlaintext)
    say('✓ the request is sealed to a key under that report: the host cannot read it, nor the answer');
  const { outputs, receipt } = await client.inferRaw(model, request);
  say(
    `✓ the answer is signed by that session and commits to the exact bytes sent and received (receipt ${receipt.id})`,
  );
  const kept = options.waitFor === 'hardware' ? await receipt.hardwareCommitted() : receipt;
  if (kept.result.strength === 'hardware-committed') say('✓ a hardware report covers the answer');
  if (receiptOut !== undefined) {
    await writeOutputs(receiptFiles(receiptOut, kept));
    say(`✓ receipt written to ${receiptOut} (salts and exact bodies beside it, readable by you alone)`);
  }

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
  if (!name || rest.length > 0 || version === '') throw usage('model', 'NAME or NAME/VERSION');
  return version === undefined ? { name } : { name, version };
}

/** The body as it is, or the same request with binary tensors both ways. */
function requestOf(body: Uint8Array<ArrayBuffer>, binary: boolean): EncodedBody {
  if (!binary) return { body, jsonLength: null, contentType: MEDIA_TYPE_JSON };
  const { id, inputs, outputs } = parseInferRequest(body, null);
  return encodeInferRequest({
    inputs,
    binary,
    ...(id === undefined ? {} : { id }),
    ...(outputs ? { outputs: outputs.map(({ name }) => ({ name, binary })) } : {}),
  });
}

/** What is appended to the name that the caller gives; see `Receipt.parts`. */
const PARTS = ['', '.request', '.response', '.private.json'];

const receiptFiles = (file: string, receipt: Receipt): Output[] =>
  receipt.parts(file).map(({ name, bytes }) => ({ path: name, content: bytes }));

const head = ({ name, datatype, shape }: Tensor) => ({ name, datatype, shape });

function summary(output: Tensor): string {
  const values = tensorText(output);
  const more = values.length > MAX_VALUES_SHOWN ? `, … ${values.length - MAX_VALUES_SHOWN} more` : '';
  return `${output.name} ${output.datatype} [${output.shape}]: ${values.slice(0, MAX_VALUES_SHOWN).join(', ')}${more}`;
}
