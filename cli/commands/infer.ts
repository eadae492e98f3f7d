import { type KeptReceipt, type ModelName, VeriteeClient } from '@veritee/client';
import {
  type EncodedBody,
  encodeInferRequest,
  hex,
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
  readonly json: boolean;
}

export async function infer(options: InferOptions): Promise<number> {
  if (options.waitFor !== undefined && options.waitFor !== 'hardware') throw usage('wait-for', 'hardware');
  const model = modelName(options.model);
  const policy = await addReferenceValues(await readPolicy(options.policy), options);
  const trustAnchors = await readAnchors(options.trustAnchor);
  const request = requestOf(await readInput(options.input), options.binary);
  const { receiptOut } = options;
  if (receiptOut !== undefined) await checkOutputs(Object.values(receiptPaths(receiptOut)));

  const client = new VeriteeClient({ url: options.url, policy, trustAnchors, allowPlaintext: true });
  await client.ready();
  say('✓ the service is attested: its session key is under a hardware report that answers a fresh nonce');
  say('! sealing comes in a later release: the request goes in the clear and the host can read it');
  const { outputs, receipt } = await client.inferRaw(model, request);
  say(
    `✓ the answer is signed by that session and commits to the exact bytes sent and received (receipt ${receipt.id})`,
  );
  const wait = options.waitFor === 'hardware' || policy.strength === 'hardware-committed';
  const kept = wait ? await client.hardwareCommitted(receipt) : receipt;
  if (wait) say('✓ a hardware report covers the answer');
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

const receiptPaths = (receipt: string) => ({
  receipt,
  request: `${receipt}.request`,
  response: `${receipt}.response`,
  salts: `${receipt}.private.json`,
});

/** The receipt for anyone; the salts and bodies for its owner alone. The receipt comes last: where it is, the rest is. */
function receiptFiles(file: string, { id, file: content, private: parts }: KeptReceipt): Output[] {
  const paths = receiptPaths(file);
  const salts = { receiptId: id, requestSalt: hex(parts.requestSalt), responseSalt: hex(parts.responseSalt) };
  return [
    { path: paths.request, content: parts.request },
    { path: paths.response, content: parts.response },
    { path: paths.salts, content: `${JSON.stringify(salts, null, 2)}\n` },
    { path: paths.receipt, content },
  ];
}

const head = ({ name, datatype, shape }: Tensor) => ({ name, datatype, shape });

function summary(output: Tensor): string {
  const values = tensorText(output);
  const more = values.length > MAX_VALUES_SHOWN ? `, … ${values.length - MAX_VALUES_SHOWN} more` : '';
  return `${output.name} ${output.datatype} [${output.shape}]: ${values.slice(0, MAX_VALUES_SHOWN).join(', ')}${more}`;
}
