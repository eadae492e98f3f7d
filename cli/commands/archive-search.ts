import {
  type Archive,
  count,
  type Digest,
  type EvidenceFilter,
  type FoundReceipt,
  openArchive,
  type Place,
  parseFloor,
  type ReceiptFilter,
  search,
  type Verdict,
} from '@veritee/archive';
import { type Bytes, bytes, fromHex, hex } from '@veritee/protocol';
import { EXIT } from '../exit.ts';
import { readTime, usage } from '../inputs.ts';
import { print, printJson } from '../io.ts';

export interface ReceiptFlags {
  readonly boot?: string;
  readonly receipt?: string;
  readonly from?: string;
  readonly to?: string;
  readonly tenant?: string;
  readonly model?: string;
  readonly modelDigest?: string;
  readonly outcome?: string;
  readonly class?: string;
  readonly requestDigest?: string;
  readonly responseDigest?: string;
}

export interface PageFlags {
  readonly limit: string;
  readonly after?: string;
}

export interface ArchiveSearchOptions extends ReceiptFlags, PageFlags {
  readonly archive: string;
  readonly platform?: string;
  readonly product?: string;
  readonly measurement?: string;
  readonly chip?: string;
  readonly tcbBelow?: string;
  readonly verdict?: string;
  readonly policyDigest?: string;
  readonly count: boolean;
  readonly json: boolean;
}

const MAX_LIMIT = 100_000;

export async function archiveSearch(options: ArchiveSearchOptions): Promise<number> {
  const evidence = readEvidenceFlags(options);
  const filter: ReceiptFilter = { ...readReceiptFlags(options), evidence };
  const { limit, after } = readPage(options);
  return reading(options.archive, async ({ store }) => {
    if (options.count) {
      const receipts = await count(store, filter);
      if (options.json) printJson({ receipts });
      else print(String(receipts));
      return EXIT.done;
    }
    const { receipts, next } = await search(store, filter, { after, limit });
    const more = next && placeText(next);
    if (options.json) printJson({ receipts: receipts.map(receiptJson), next: more });
    else {
      for (const receipt of receipts) print(receiptLine(receipt));
      if (more !== null) print(`more with --after ${more}`);
    }
    return EXIT.done;
  });
}

export async function reading(folder: string, work: (archive: Archive) => Promise<number>): Promise<number> {
  const archive = await openArchive({ folder, mode: 'read' });
  try {
    return await work(archive);
  } finally {
    await archive.close();
  }
}

function hexOf<N extends number>(text: string, length: N, flag: string): Bytes<N> {
  const value = fromHex(text);
  if (value?.length !== length) throw usage(flag, `${2 * length} hex digits`);
  return bytes(value, length, flag);
}

/** Only what was given is part of the filter. */
export function readReceiptFlags(flags: ReceiptFlags): Omit<ReceiptFilter, 'evidence'> {
  const digest = (text: string, flag: string): Digest => hexOf(text, 32, flag);
  const [model, modelVersion, ...rest] = flags.model?.split('/') ?? [];
  if (rest.length > 0 || model === '' || modelVersion === '') throw usage('model', 'NAME or NAME/VERSION');
  return {
    ...(flags.boot === undefined ? {} : { boot: hex(hexOf(flags.boot, 16, 'boot')) }),
    ...(flags.receipt === undefined ? {} : { receiptId: hexOf(flags.receipt, 16, 'receipt') }),
    ...(flags.from === undefined ? {} : { fromMs: readTime(flags.from).getTime() }),
    ...(flags.to === undefined ? {} : { toMs: readTime(flags.to).getTime() }),
    ...(flags.tenant === undefined ? {} : { tenant: flags.tenant }),
    ...(model === undefined ? {} : { model }),
    ...(modelVersion === undefined ? {} : { modelVersion }),
    ...(flags.modelDigest === undefined ? {} : { modelDigest: digest(flags.modelDigest, 'model-digest') }),
    ...(flags.outcome === undefined ? {} : { outcome: flags.outcome }),
    ...(flags.class === undefined ? {} : { retentionClass: flags.class }),
    ...(flags.requestDigest === undefined ? {} : { requestDigest: digest(flags.requestDigest, 'request-digest') }),
    ...(flags.responseDigest === undefined ? {} : { responseDigest: digest(flags.responseDigest, 'response-digest') }),
  };
}

const VERDICTS: readonly Verdict[] = ['affirming', 'contraindicated', 'unsupported'];

function readEvidenceFlags(options: ArchiveSearchOptions): EvidenceFilter {
  const { platform, product, measurement, chip, policyDigest } = options;
  const verdict = VERDICTS.find((one) => one === options.verdict);
  if (options.verdict !== undefined && !verdict) throw usage('verdict', VERDICTS.join(', '));
  const tcbBelow = options.tcbBelow === undefined ? null : parseFloor(options.tcbBelow);
  if (options.tcbBelow !== undefined && !tcbBelow)
    throw usage('tcb-below', 'a floor such as Milan:snp=23,microcode=213');
  return {
    ...(platform === undefined ? {} : { platform }),
    ...(product === undefined ? {} : { product }),
    ...(measurement === undefined ? {} : { measurement: hex(hexOf(measurement, 48, 'measurement')) }),
    ...(chip === undefined ? {} : { chip: chip.toLowerCase() }),
    ...(verdict ? { verdict } : {}),
    ...(policyDigest === undefined ? {} : { policy: hex(hexOf(policyDigest, 32, 'policy-digest')) }),
    ...(tcbBelow ? { tcbBelow } : {}),
  };
}

export function readPage({ limit: text, after }: PageFlags): { readonly after: Place | null; readonly limit: number } {
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw usage('limit', `a number from 1 to ${MAX_LIMIT}`);
  if (after === undefined) return { after: null, limit };
  const [, boot = '', index = ''] = /^([0-9a-f]{32}):(\d{1,15})$/.exec(after) ?? [];
  if (boot === '') throw usage('after', 'BOOT:INDEX, as the page before said');
  return { after: { boot, index: Number(index) }, limit };
}

export const placeText = ({ boot, index }: Place): string => `${boot}:${index}`;

export const receiptJson = ({ boot, index, timeMs, evidence, ...row }: FoundReceipt) => ({
  receiptId: hex(row.receiptId),
  boot,
  index,
  claimedTime: new Date(timeMs).toISOString(),
  model: row.model && { ...row.model, digest: hex(row.model.digest) },
  outcome: row.outcome,
  requestDigest: hex(row.requestDigest),
  responseDigest: hex(row.responseDigest),
  tenant: row.tenant,
  retentionClass: row.retentionClass,
  evidence,
});

export function receiptLine({
  receiptId,
  boot,
  index,
  timeMs,
  model,
  outcome,
  tenant,
  evidence,
}: FoundReceipt): string {
  const what = model ? `${model.name}/${model.version}` : 'no model';
  const vouched = evidence ? `${evidence.verdict} ${evidence.platform ?? 'unverified'}` : 'under no report';
  const time = new Date(timeMs).toISOString();
  return `${hex(receiptId)} ${placeText({ boot, index })} ${time} ${what} ${outcome} ${tenant ?? '-'} ${vouched}`;
}
