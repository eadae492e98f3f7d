import { readFileSync } from 'node:fs';
import path from 'node:path';
import { CodedError } from '@veritee/protocol';
import { CheckLog } from '../../verifier/checks.ts';
import { parseNitroDocument } from '../../verifier/nitro/document.ts';
import { NITRO_VERIFY_ROWS } from '../../verifier/nitro/rows.ts';
import { type VerifiedNitro, verifyNitro } from '../../verifier/nitro/verify.ts';
import type { TrustAnchor } from '../../verifier/trust/anchor.ts';
import { sharedFolder } from '../support/shared.ts';
import { read } from './snp-support.ts';

export const NITRO_EVIDENCE = sharedFolder('evidence', 'nitro');
export const AWS_CERTIFICATES = sharedFolder('trust-anchors', 'aws');

export interface NitroCase {
  readonly id: string;
  readonly dir: string;
  readonly files: { readonly document: string };
  readonly kind: 'enclave' | 'nitrotpm';
  readonly payloadMapIndefinite: boolean;
  readonly moduleId: string;
  readonly timestamp: number;
  readonly pcrCount: number;
  readonly pcrs?: Readonly<Record<string, string>>;
  readonly debug: boolean;
  readonly nonceLength: number | null;
  readonly userDataLength: number | null;
  readonly publicKeyLength: number | null;
  readonly leafNotBefore: string | null;
  readonly leafNotAfter: string | null;
  readonly expected: string;
  /** The document's own time. */
  readonly at: string;
}

export function nitroCases(): readonly NitroCase[] {
  if (!NITRO_EVIDENCE) return [];
  return (JSON.parse(readFileSync(path.join(NITRO_EVIDENCE, 'index.json'), 'utf8')) as { cases: NitroCase[] }).cases;
}

export const documentOf = (one: NitroCase): Uint8Array<ArrayBuffer> =>
  read(NITRO_EVIDENCE ?? '', one.dir, one.files.document);

export interface NitroOutcome {
  /** 'valid', or the code of the refusal; anything uncoded is thrown on and fails the test. */
  readonly code: string;
  readonly field: string | undefined;
  readonly verified: VerifiedNitro | null;
  readonly log: CheckLog;
  readonly failed: readonly string[];
}

export async function attemptNitro(
  document: Uint8Array,
  anchors: readonly TrustAnchor[],
  at: Date | 'document-time',
): Promise<NitroOutcome> {
  const log = new CheckLog(NITRO_VERIFY_ROWS);
  const failed = (): string[] => log.checks().flatMap(({ id, outcome }) => (outcome === 'fail' ? [id] : []));
  try {
    const verified = await verifyNitro(parseNitroDocument(document), anchors, at, log);
    return { code: 'valid', field: undefined, verified, log, failed: failed() };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { code: error.code, field: error.field, verified: null, log, failed: failed() };
  }
}
