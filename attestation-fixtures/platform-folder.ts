import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { equalBytes, fromBase64, ServiceError, utf8 } from '@veritee/protocol';
import { writeFileAtomically } from './atomic-file.ts';
import { type Issuer, pem } from './certificate.ts';

/** What a simulated platform keeps in a folder: one file with every secret, and its root certificate beside it. */
export interface PlatformFolder<State> {
  /** Mode 0600. */
  readonly keyFile: string;
  /** What a person passes as a trust anchor. */
  readonly rootFile: string;
  /** First line of the secrets: which platform and which layout. */
  readonly format: string;
  readonly warning: string;
  /** Name of the member that holds the state as JSON. */
  readonly member: string;
  encode(state: State): unknown;
  /** Anything thrown means damage; its text is never shown, for it may quote the file. */
  decode(stored: unknown): State;
  rootOf(state: State): Uint8Array;
  readonly pemComment: string;
}

export interface StoredPair {
  readonly key: string;
  readonly certificate: string;
}

export function encodePair(pair: { readonly privateKey: KeyObject; readonly certificate: Uint8Array }): StoredPair {
  return {
    key: pair.privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64'),
    certificate: Buffer.from(pair.certificate).toString('base64'),
  };
}

export function decodePair({ key, certificate }: StoredPair): Issuer {
  const der = fromBase64(certificate);
  const pkcs8 = fromBase64(key);
  if (!der || !pkcs8) throw new TypeError('not base64');
  const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), type: 'pkcs8', format: 'der' });
  if (!new X509Certificate(der).checkPrivateKey(privateKey)) throw new TypeError('key and certificate differ');
  return { privateKey, certificate: der };
}

/** Never with the cause of a parse failure: its text quotes the file, and the file holds keys. */
const unusable = (folder: string, why: string, field: string, cause?: unknown): ServiceError =>
  new ServiceError('DATA_FOLDER_UNUSABLE', `${path.join(folder, field)}: ${why}`, { field, cause });

const isErrno = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

async function readText(folder: string, file: string): Promise<string | null> {
  try {
    return await readFile(path.join(folder, file), 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    throw unusable(folder, 'cannot be read', file, error);
  }
}

async function writeText(folder: string, file: string, text: string, mode: number): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await writeFileAtomically(path.join(folder, file), text, mode);
  } catch (error) {
    throw unusable(folder, 'cannot be written', file, error);
  }
}

const digestOf = (stored: unknown): string =>
  createHash('sha256')
    .update(utf8(JSON.stringify(stored)))
    .digest('hex');

function holds(pemText: string, certificate: Uint8Array): boolean {
  try {
    return equalBytes(new X509Certificate(pemText).raw, certificate);
  } catch {
    return false; // no certificate at all
  }
}

/** The root certificate for people and `--trust-anchor`, with a warning before it. */
export const rootPem = <State>({ pemComment, rootOf }: PlatformFolder<State>, state: State): string =>
  `${pemComment}${pem(rootOf(state))}`;

/** Writes the secrets (mode 0600), then the root certificate: a certificate without its keys is never a half-done save. */
export async function savePlatform<State>(folder: string, layout: PlatformFolder<State>, state: State): Promise<void> {
  const { keyFile, rootFile, format, member, warning } = layout;
  const stored = layout.encode(state);
  const file = { warning: warning.split('\n'), format, sha256: digestOf(stored), [member]: stored };
  await writeText(folder, keyFile, `${JSON.stringify(file, null, 2)}\n`, 0o600);
  await writeText(folder, rootFile, rootPem(layout, state), 0o644);
}

/**
 * Reads what `savePlatform` wrote, and writes the root certificate again when it is missing.
 *
 * @returns null when the folder holds neither file
 * @throws ServiceError DATA_FOLDER_UNUSABLE a file is unreadable or damaged, or the two do not belong together
 */
export async function loadPlatform<State>(folder: string, layout: PlatformFolder<State>): Promise<State | null> {
  const { keyFile, rootFile, format, member } = layout;
  const [text, root] = await Promise.all([readText(folder, keyFile), readText(folder, rootFile)]);
  if (text === null && root === null) return null;
  if (text === null)
    throw unusable(folder, `is missing while ${rootFile} is there; remove both to start anew`, keyFile);
  let state: State;
  try {
    const file = JSON.parse(text) as Record<string, unknown>;
    // The digest finds damage, not forgery: whoever can write here owns the simulated platform anyway.
    if (file['format'] !== format || file['sha256'] !== digestOf(file[member])) throw new TypeError('damaged');
    state = layout.decode(file[member]);
  } catch {
    throw unusable(
      folder,
      'is damaged or of another release; remove it and the root certificate to start anew',
      keyFile,
    );
  }
  if (root === null) await writeText(folder, rootFile, rootPem(layout, state), 0o644);
  else if (!holds(root, layout.rootOf(state))) throw unusable(folder, `is not the root of ${keyFile}`, rootFile);
  return state;
}
