import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Bytes, bytes, equalBytes, fromBase64, fromHex, hex, ServiceError, utf8 } from '@veritee/protocol';
import { writeFileAtomically } from '../atomic-file.ts';
import { SIMULATED_PEM_COMMENT, SIMULATED_WARNING } from '../warning.ts';
import type { SimulatedAuthority } from './authority.ts';
import { pem } from './certificates.ts';
import { isProduct, type Product, requireLayout, type Tcb } from './products.ts';
import type { ReportVersion } from './report.ts';

/** All secrets of one simulated chip and of the authority above it. */
export const KEY_FILE = 'simulated-snp.key';
/** The one *.pem file in the folder: what a person passes as a trust anchor. */
export const ARK_FILE = 'simulated-snp-ark.pem';

const FORMAT = 'veritee/simulated-snp/v1';

/** Everything that makes up one simulated chip. */
export interface ChipState {
  readonly product: Product;
  readonly reportVersion: ReportVersion;
  readonly tcb: Tcb;
  readonly chipId: Bytes<64>;
  readonly authority: SimulatedAuthority;
  readonly vcek: { readonly privateKey: KeyObject; readonly certificate: Uint8Array<ArrayBuffer> };
}

const isReportVersion = (value: unknown): value is ReportVersion => value === 2 || value === 3 || value === 5;

/** The root certificate for people and `--trust-anchor`, with a warning before it. */
export const arkPem = (authority: SimulatedAuthority): string =>
  `${SIMULATED_PEM_COMMENT}${pem(authority.ark.certificate)}`;

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

interface StoredPair {
  readonly key: string;
  readonly certificate: string;
}

interface StoredChip {
  readonly product: string;
  readonly reportVersion: number;
  readonly tcb: Tcb;
  readonly chipId: string;
  readonly ark: StoredPair;
  readonly ask: StoredPair;
  readonly vcek: StoredPair;
}

const digestOf = (chip: StoredChip): string =>
  createHash('sha256')
    .update(utf8(JSON.stringify(chip)))
    .digest('hex');

function encodePair(pair: { readonly privateKey: KeyObject; readonly certificate: Uint8Array }): StoredPair {
  return {
    key: pair.privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64'),
    certificate: Buffer.from(pair.certificate).toString('base64'),
  };
}

function decodePair({ key, certificate }: StoredPair) {
  const der = fromBase64(certificate);
  const pkcs8 = fromBase64(key);
  if (!der || !pkcs8) throw new TypeError('not base64');
  const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), type: 'pkcs8', format: 'der' });
  if (!new X509Certificate(der).checkPrivateKey(privateKey)) throw new TypeError('key and certificate differ');
  return { privateKey, certificate: der };
}

function decodeChip(text: string): ChipState {
  const { format, sha256, chip } = JSON.parse(text) as { format: unknown; sha256: unknown; chip: StoredChip };
  // The digest finds damage, not forgery: whoever can write here owns the simulated chip anyway.
  if (format !== FORMAT || sha256 !== digestOf(chip)) throw new TypeError('damaged');
  const { product, reportVersion, tcb } = chip;
  const chipId = fromHex(chip.chipId);
  if (!isProduct(product) || !isReportVersion(reportVersion) || !chipId) throw new TypeError('not a chip');
  requireLayout(product, tcb);
  return {
    product,
    reportVersion,
    tcb,
    chipId: bytes(chipId, 64, 'CHIP_ID'),
    authority: { product, ark: decodePair(chip.ark), ask: decodePair(chip.ask) },
    vcek: decodePair(chip.vcek),
  };
}

function holds(pemText: string, certificate: Uint8Array): boolean {
  try {
    return equalBytes(new X509Certificate(pemText).raw, certificate);
  } catch {
    return false; // no certificate at all
  }
}

/** Writes the secrets (mode 0600), then the root certificate: a certificate without its keys is never a half-done save. */
export async function saveChip(folder: string, state: ChipState): Promise<void> {
  const chip: StoredChip = {
    product: state.product,
    reportVersion: state.reportVersion,
    tcb: state.tcb,
    chipId: hex(state.chipId),
    ark: encodePair(state.authority.ark),
    ask: encodePair(state.authority.ask),
    vcek: encodePair(state.vcek),
  };
  const file = { warning: SIMULATED_WARNING.split('\n'), format: FORMAT, sha256: digestOf(chip), chip };
  await writeText(folder, KEY_FILE, `${JSON.stringify(file, null, 2)}\n`, 0o600);
  await writeText(folder, ARK_FILE, arkPem(state.authority), 0o644);
}

/**
 * Reads what `saveChip` wrote, and writes the root certificate again when it is missing.
 *
 * @returns null when the folder holds neither file
 * @throws ServiceError DATA_FOLDER_UNUSABLE a file is unreadable or damaged, or the two do not belong together
 */
export async function loadChip(folder: string): Promise<ChipState | null> {
  const [text, root] = await Promise.all([readText(folder, KEY_FILE), readText(folder, ARK_FILE)]);
  if (text === null && root === null) return null;
  if (text === null)
    throw unusable(folder, `is missing while ${ARK_FILE} is there; remove both to start anew`, KEY_FILE);
  let state: ChipState;
  try {
    state = decodeChip(text);
  } catch {
    throw unusable(
      folder,
      'is damaged or of another release; remove it and the root certificate to start anew',
      KEY_FILE,
    );
  }
  if (root === null) await writeText(folder, ARK_FILE, arkPem(state.authority), 0o644);
  else if (!holds(root, state.authority.ark.certificate))
    throw unusable(folder, `is not the root of ${KEY_FILE}`, ARK_FILE);
  return state;
}
