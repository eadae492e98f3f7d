import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { encodeReceipt, parseAttestation, parseEvidence, parseReceipt } from '../../protocol/files.ts';
import { parseSnpReport } from '../../verifier/snp/report.ts';
import { draftPolicyFor, type Ended, type Served, veritee } from '../support/cli.ts';
import { ROOT } from '../support/shared.ts';

export const EXAMPLE = path.join(ROOT, 'docs/examples/heat-stress-request.json');
export const AUTHENTICITY = ['--policy', 'builtin:authenticity'] as const;

export const readBytes = (file: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(file));

/** `--json` puts one JSON object on stdout and nothing else. */
export function jsonOf({ stdout }: Ended): Record<string, unknown> {
  const value: unknown = JSON.parse(stdout);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`not an object: ${stdout}`);
  return value as Record<string, unknown>;
}

export interface Verdict {
  readonly verdict: string;
  readonly strength: string | null;
  readonly platform: string | null;
  readonly findings: readonly { readonly code: string }[];
  readonly checks: readonly { readonly id: string; readonly outcome: string; readonly detail: string }[];
  readonly notChecked: readonly string[];
  readonly claims: Record<string, unknown>;
  readonly policy: string;
  readonly at: string;
}

export const codesOf = (result: Verdict): string[] => result.findings.map(({ code }) => code);

/** `veritee verify … --json`, which printed a result. */
export async function verdictOf(args: readonly string[]): Promise<{ status: number | null; result: Verdict }> {
  const ran = await veritee(['verify', ...args, '--json']);
  const value = jsonOf(ran);
  expect(value, ran.stderr).toHaveProperty('verdict');
  return { status: ran.status, result: value as unknown as Verdict };
}

/** A run that ended with an error and no result: its status and code. */
export async function refusalOf(args: readonly string[]): Promise<{ status: number | null; code: string }> {
  const ran = await veritee([...args, '--json']);
  const value = jsonOf(ran);
  expect(Object.keys(value), ran.stdout).toEqual(['error']);
  expect(value['error']).toEqual({ code: expect.any(String), message: expect.stringMatching(/./) });
  return { status: ran.status, code: (value['error'] as { code: string }).code };
}

/** Every kind of file there is, as one running service makes them. */
export interface Files {
  readonly root: string;
  readonly policy: string;
  readonly receipt: string;
  readonly salts: { readonly requestSalt: string; readonly responseSalt: string };
  /** The same statement under evidence from before it. */
  readonly sessionSigned: string;
  /** The same receipt naming its evidence by REPORT_DATA. */
  readonly detached: string;
  readonly attestation: string;
  readonly evidence: string;
  readonly report: string;
  /** PEM, the report's signing certificate and its issuer. */
  readonly endorsements: string;
}

export async function makeFiles(served: Served, folder: string): Promise<Files> {
  const policy = await draftPolicyFor(served);
  const receipt = path.join(folder, 'answer.veritee');
  const ran = await veritee([
    ...['infer', '--url', served.url, '--model', 'heat-stress', '--input', EXAMPLE, '--policy', policy],
    ...['--wait-for', 'hardware', '--receipt-out', receipt],
  ]);
  expect(ran.status, ran.stderr).toBe(0);
  const parsed = parseReceipt(readBytes(receipt));
  if (!('file' in parsed.evidence)) throw new Error('a receipt without its evidence');
  const { report, chain } = parseEvidence(parsed.evidence.file);
  const put = (name: string, content: Uint8Array | string): string => {
    writeFileSync(path.join(folder, name), content);
    return path.join(folder, name);
  };
  const attestation = path.join(served.data, 'test-attestation.cbor');
  const before = parseAttestation(readBytes(attestation)).evidence;
  const { statement, path: proof } = parsed;
  const reportData = parseSnpReport(report).reportData;
  return {
    root: path.join(served.data, 'simulated-snp-ark.pem'),
    policy,
    receipt,
    salts: JSON.parse(readFileSync(`${receipt}.private.json`, 'utf8')),
    sessionSigned: put('session-signed.veritee', encodeReceipt({ statement, path: null, evidence: { file: before } })),
    detached: put('detached.veritee', encodeReceipt({ statement, path: proof, evidence: { reportData } })),
    attestation,
    evidence: put('evidence.cbor', parsed.evidence.file),
    report: put('report.bin', report),
    endorsements: put('chain.pem', chain.map(pem).join('')),
  };
}

export const pem = (der: Uint8Array): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
