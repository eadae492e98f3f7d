import { readFileSync } from 'node:fs';
import path from 'node:path';
import { CodedError } from '@veritee/protocol';
import { CheckLog } from '../../verifier/checks.ts';
import { parseSnpReport } from '../../verifier/snp/report.ts';
import { SNP_VERIFY_ROWS, type VerifiedSnp, verifySnp } from '../../verifier/snp/verify.ts';
import type { TrustAnchor } from '../../verifier/trust/anchor.ts';
import { readCertificates } from '../../verifier/x509/pem.ts';
import { sharedFolder } from '../support/shared.ts';

export const SNP_EVIDENCE = sharedFolder('evidence', 'snp');
export const AMD_CERTIFICATES = sharedFolder('trust-anchors', 'amd');

export interface SnpCase {
  readonly id: string;
  readonly dir: string;
  readonly files: {
    readonly report: string;
    readonly signerCert?: string;
    readonly intermediate?: string;
    readonly root?: string;
  };
  readonly product: string;
  readonly reportVersion: number;
  readonly signer: 'VCEK' | 'VLEK';
  readonly expected: string;
  readonly validFrom: string | null;
  readonly validTo: string | null;
}

export const read = (...parts: readonly string[]): Uint8Array<ArrayBuffer> =>
  new Uint8Array(readFileSync(path.join(...parts)));

export function snpCases(): readonly SnpCase[] {
  if (!SNP_EVIDENCE) return [];
  return (JSON.parse(readFileSync(path.join(SNP_EVIDENCE, 'index.json'), 'utf8')) as { cases: SnpCase[] }).cases;
}

export function caseFiles(one: SnpCase): { report: Uint8Array; certificates: Uint8Array[] } {
  const folder = path.join(SNP_EVIDENCE ?? '', one.dir);
  const { signerCert, intermediate, root } = one.files;
  const certificates = [signerCert, intermediate, root].flatMap((name) =>
    name === undefined ? [] : readCertificates(read(folder, name), name),
  );
  return { report: read(folder, one.files.report), certificates };
}

export const midOf = (one: SnpCase): Date =>
  new Date((Date.parse(one.validFrom ?? '2026-01-01') + Date.parse(one.validTo ?? '2026-01-02')) / 2);

export interface Attempt {
  readonly report: Uint8Array;
  readonly certificates: readonly Uint8Array[];
  readonly anchors: readonly TrustAnchor[];
  readonly at: Date;
  readonly crlsGiven?: readonly Uint8Array[];
  readonly crlsInside?: readonly Uint8Array[];
}

export interface Outcome {
  /** 'valid', or the code of the refusal; anything uncoded is thrown on and fails the test. */
  readonly code: string;
  readonly verified: VerifiedSnp | null;
  readonly log: CheckLog;
  readonly failed: readonly string[];
}

export async function attempt({
  report,
  certificates,
  anchors,
  at,
  crlsGiven = [],
  crlsInside = [],
}: Attempt): Promise<Outcome> {
  const log = new CheckLog(SNP_VERIFY_ROWS);
  const failed = (): string[] => log.checks().flatMap(({ id, outcome }) => (outcome === 'fail' ? [id] : []));
  try {
    const parsed = parseSnpReport(report);
    const verified = await verifySnp(parsed, { certificates, crlsGiven, crlsInside }, anchors, at, log);
    return { code: 'valid', verified, log, failed: failed() };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return { code: error.code, verified: null, log, failed: failed() };
  }
}

export function codeOf(run: () => unknown): string {
  try {
    run();
    return 'accepted';
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return error.code;
  }
}

export function flipped(bytes: Uint8Array, at: number, mask: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  copy[at] = (copy[at] as number) ^ mask;
  return copy;
}
