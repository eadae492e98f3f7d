import type { KeyObject } from 'node:crypto';
import { type Bytes, bytes, fromHex, hex } from '@veritee/protocol';
import {
  decodePair,
  encodePair,
  loadPlatform,
  type PlatformFolder,
  rootPem,
  type StoredPair,
  savePlatform,
} from '../platform-folder.ts';
import { SIMULATED_PEM_COMMENT, SIMULATED_WARNING } from '../warning.ts';
import type { SimulatedAuthority } from './authority.ts';
import { isProduct, type Product, requireLayout, type Tcb } from './products.ts';
import type { ReportVersion } from './report.ts';

/** All secrets of one simulated chip and of the authority above it. */
export const KEY_FILE = 'simulated-snp.key';
/** The root certificate: what a person passes as a trust anchor. */
export const ARK_FILE = 'simulated-snp-ark.pem';

/** Everything that makes up one simulated chip. */
export interface ChipState {
  readonly product: Product;
  readonly reportVersion: ReportVersion;
  readonly tcb: Tcb;
  readonly chipId: Bytes<64>;
  readonly authority: SimulatedAuthority;
  readonly vcek: { readonly privateKey: KeyObject; readonly certificate: Uint8Array<ArrayBuffer> };
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

const isReportVersion = (value: unknown): value is ReportVersion => value === 2 || value === 3 || value === 5;

const encode = (state: ChipState): StoredChip => ({
  product: state.product,
  reportVersion: state.reportVersion,
  tcb: state.tcb,
  chipId: hex(state.chipId),
  ark: encodePair(state.authority.ark),
  ask: encodePair(state.authority.ask),
  vcek: encodePair(state.vcek),
});

function decode(stored: unknown): ChipState {
  const chip = stored as StoredChip;
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

const CHIP: PlatformFolder<ChipState> = {
  keyFile: KEY_FILE,
  rootFile: ARK_FILE,
  format: 'veritee/simulated-snp/v1',
  warning: SIMULATED_WARNING,
  member: 'chip',
  encode,
  decode,
  rootOf: ({ authority }) => authority.ark.certificate,
  pemComment: SIMULATED_PEM_COMMENT,
};

export const arkPem = (state: ChipState): string => rootPem(CHIP, state);
export const saveChip = (folder: string, state: ChipState): Promise<void> => savePlatform(folder, CHIP, state);
export const loadChip = (folder: string): Promise<ChipState | null> => loadPlatform(folder, CHIP);
