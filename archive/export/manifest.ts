/** `manifest.json` of an export: every file with its digest, and what each is for. Pure: read by the offline verifier too. */
import {
  type Bytes,
  bytes,
  type Ed25519Key,
  EvidenceError,
  ed25519Key,
  fromHex,
  fromUtf8,
  hex,
} from '@veritee/protocol';
import { archiveIdOf } from '../log/checkpoint.ts';

export const EXPORT_PROFILE = 'veritee/export/v1';

export interface ManifestFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface Manifest {
  readonly archive: { readonly id: string; readonly publicKey: Ed25519Key };
  /** ISO 8601, by the archive's clock. */
  readonly createdAt: string;
  readonly scope: Readonly<Record<string, unknown>>;
  readonly receipts: number;
  /** Receipts of the scope for which the archive has no evidence at all. */
  readonly withoutEvidence: number;
  /** Evidence by REPORT_DATA, with the act that says under what it was appraised. */
  readonly evidence: readonly { readonly reportData: Bytes<64>; readonly act: number }[];
  /** Acts whose proofs are in `acts/`. */
  readonly acts: readonly number[];
  readonly files: readonly ManifestFile[];
}

/** Where things are in the bundle. */
export const PATHS = {
  manifest: 'manifest.json',
  readme: 'README.txt',
  index: 'index.csv',
  page: 'verify.html',
  script: 'verify.mjs',
  receipts: (boot: string, first: number) => `receipts/${boot}/${String(first).padStart(12, '0')}.receipts`,
  evidence: (reportData: Uint8Array) => `evidence/${hex(reportData)}.cbor`,
  certificate: (digest: Uint8Array) => `certificates/${hex(digest)}.der`,
  policy: (digest: Uint8Array) => `policies/${hex(digest)}.json`,
  anchor: (digest: Uint8Array) => `anchors/${hex(digest)}`,
  endorsement: (digest: Uint8Array) => `endorsements/${hex(digest)}`,
  crl: (digest: Uint8Array) => `crls/${hex(digest)}`,
  result: (digest: Uint8Array) => `results/${hex(digest)}.json`,
  act: (index: number) => `acts/${index}.cose`,
  actProof: (index: number) => `acts/${index}.tlog-proof`,
  timestamp: (act: number) => `timestamps/${act}.tst`,
  /** The bytes that the token is over. */
  timestampData: (act: number) => `timestamps/${act}.data`,
  attachment: (receiptId: Uint8Array, role: string) => `content/${hex(receiptId)}.${role}`,
  /** Beside the manifest, which they commit to and which therefore does not list them. */
  exportAct: 'export.cose',
  exportProof: 'export.tlog-proof',
} as const;

export const RECEIPTS_PATH = /^receipts\/[0-9a-f]{32}\/\d{12}\.receipts$/;

export const encodeManifest = (manifest: Manifest): string =>
  `${JSON.stringify(
    {
      profile: EXPORT_PROFILE,
      ...manifest,
      archive: { id: manifest.archive.id, publicKey: hex(manifest.archive.publicKey) },
      evidence: manifest.evidence.map(({ reportData, act }) => ({ reportData: hex(reportData), act })),
    },
    null,
    1,
  )}\n`;

const fail = (reason: string): never => {
  throw new EvidenceError('EVIDENCE_MALFORMED', `manifest: ${reason}`, { field: 'manifest' });
};

type Fields = Readonly<Record<string, unknown>>;
const objectOf = (value: unknown, what: string): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : fail(`${what}: want an object`);
const listOf = (value: unknown, what: string): readonly unknown[] =>
  Array.isArray(value) ? value : fail(`${what}: want a list`);
const textOf = (value: unknown, what: string): string =>
  typeof value === 'string' ? value : fail(`${what}: want text`);
const countOf = (value: unknown, what: string): number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : fail(`${what}: want a count`);
const bytesOf = <N extends number>(value: unknown, n: N, what: string): Bytes<N> =>
  bytes(fromHex(textOf(value, what)) ?? fail(`${what}: want hexadecimal`), n, `manifest.${what}`);

/** A relative path of plain names, so that no name reaches outside the bundle. */
const SAFE_PATH = /^(?:[a-z][a-z0-9-]{0,31}\/){0,2}[A-Za-z0-9][A-Za-z0-9.-]{0,199}$/;

/** @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_UNSUPPORTED */
export function parseManifest(content: Uint8Array): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(content));
  } catch {
    return fail('not JSON');
  }
  const fields = objectOf(value, 'manifest');
  if (fields['profile'] !== EXPORT_PROFILE) {
    throw new EvidenceError('EVIDENCE_UNSUPPORTED', `manifest.profile: this release reads ${EXPORT_PROFILE}`, {
      field: 'manifest.profile',
    });
  }
  const archive = objectOf(fields['archive'], 'archive');
  const publicKey = ed25519Key(bytesOf(archive['publicKey'], 32, 'archive.publicKey'), 'manifest.archive.publicKey');
  const id = textOf(archive['id'], 'archive.id');
  if (id !== archiveIdOf(publicKey)) fail('archive.id: not that of its key');
  const files = listOf(fields['files'], 'files').map((item): ManifestFile => {
    const file = objectOf(item, 'files');
    const path = textOf(file['path'], 'files.path');
    if (!isSafe(path)) fail('files.path: not a plain relative path');
    return {
      path,
      bytes: countOf(file['bytes'], 'files.bytes'),
      sha256: hex(bytesOf(file['sha256'], 32, 'files.sha256')),
    };
  });
  if (new Set(files.map(({ path }) => path)).size !== files.length) fail('files: a path twice');
  return {
    archive: { id, publicKey },
    createdAt: textOf(fields['createdAt'], 'createdAt'),
    scope: objectOf(fields['scope'], 'scope'),
    receipts: countOf(fields['receipts'], 'receipts'),
    withoutEvidence: countOf(fields['withoutEvidence'], 'withoutEvidence'),
    evidence: listOf(fields['evidence'], 'evidence').map((item) => {
      const { reportData, act } = objectOf(item, 'evidence');
      return { reportData: bytesOf(reportData, 64, 'evidence.reportData'), act: countOf(act, 'evidence.act') };
    }),
    acts: listOf(fields['acts'], 'acts').map((act) => countOf(act, 'acts')),
    files,
  };
}

export const isSafe = (path: string): boolean =>
  (SAFE_PATH.test(path) || RECEIPTS_PATH.test(path)) && !path.split('/').includes('..');
