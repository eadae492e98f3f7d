import { AUTHENTICITY, assess, detectKind, type Expected, type Kind, renderHtml, toJson } from '@veritee/verifier';
import { type EarFlags, PRODUCER, readEarFlags } from '../ear.ts';
import { exitOfVerdict } from '../exit.ts';
import {
  addReferenceValues,
  type ReferenceFlags,
  readAirKey,
  readAnchors,
  readCrl,
  readEndorsement,
  readNonce,
  readPolicy,
  readSalt,
  readTime,
  usage,
} from '../inputs.ts';
import { checkOutputs, print, printJson, readInput, say, writeOutputs } from '../io.ts';
import { renderHead, renderResult } from '../render.ts';

const KINDS: readonly Kind[] = [
  'receipt',
  'attestation',
  'evidence',
  'snp-report',
  'snp-hcl',
  'nitro-document',
  'air-receipt',
];

export interface VerifyOptions extends EarFlags, ReferenceFlags {
  readonly kind?: string;
  readonly policy?: string;
  readonly endorsement: readonly string[];
  readonly crl: readonly string[];
  readonly trustAnchor: readonly string[];
  readonly evidence: readonly string[];
  readonly at?: string;
  readonly nonce?: string;
  readonly request?: string;
  readonly requestSalt?: string;
  readonly response?: string;
  readonly responseSalt?: string;
  readonly airKey?: string;
  readonly report?: string;
  readonly json: boolean;
}

export async function verify(path: string, options: VerifyOptions): Promise<number> {
  const kind = KINDS.find((one) => one === options.kind);
  if (options.kind !== undefined && !kind) throw usage('kind', KINDS.join(', '));
  const signEar = await readEarFlags(options);
  const asked = options.policy === AUTHENTICITY.id ? AUTHENTICITY : await readPolicy(options.policy);
  const policy = await addReferenceValues(asked, options);
  const file = await readInput(path);
  const expected = await readExpected(options, kind ?? detectKind(file));
  if (options.report !== undefined) await checkOutputs([options.report]);
  const result = await assess({
    file,
    ...(kind ? { kind } : {}),
    policy,
    at: readTime(options.at),
    trustAnchors: await readAnchors(options.trustAnchor),
    endorsements: await Promise.all(options.endorsement.map(readEndorsement)),
    crls: await Promise.all(options.crl.map(readCrl)),
    evidence: await Promise.all(options.evidence.map(readInput)),
    expected,
  });
  if (options.report !== undefined) {
    const content = renderHtml(result, { file: { name: path, content: file }, producer: PRODUCER });
    await writeOutputs([{ path: options.report, content }]);
  }
  const ear = await signEar?.(result, expected.nonce);
  if (options.json) printJson({ ...toJson(result), ...(ear === undefined ? {} : { ear }) });
  else if (ear === undefined) print(renderResult(result));
  else {
    say(renderHead(result));
    print(ear);
  }
  return exitOfVerdict(result.verdict);
}

async function readExpected(options: VerifyOptions, kind: Kind | null): Promise<Expected> {
  const body = async (file: string | undefined, salt: string | undefined, name: 'request' | 'response') => {
    if (file === undefined && salt === undefined) return null;
    if (kind === 'air-receipt') {
      if (file === undefined || salt !== undefined)
        throw usage(`${name}-salt`, 'none: the hashes of an AIR receipt are plain');
      return { body: await readInput(file) };
    }
    if (file === undefined || salt === undefined) throw usage(name, `both --${name} and --${name}-salt, or neither`);
    return { body: await readInput(file), salt: readSalt(salt, `${name}-salt`) };
  };
  const request = await body(options.request, options.requestSalt, 'request');
  const response = await body(options.response, options.responseSalt, 'response');
  return {
    ...(options.nonce === undefined ? {} : { nonce: readNonce(options.nonce) }),
    ...(request ? { request } : {}),
    ...(response ? { response } : {}),
    ...(options.airKey === undefined ? {} : { airKey: await readAirKey(options.airKey) }),
  };
}
