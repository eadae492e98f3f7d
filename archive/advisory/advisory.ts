/**
 * An advisory of today applied to the past: a TCB floor, a build or a chip that is no longer believed, and which receipts
 * were made on such a machine.
 */
import { CodedError } from '@veritee/protocol';
import { type Covered, coverageOf } from '../search/coverage.ts';
import { type Floor, isBelow, TCB_PARTS } from '../search/tcb.ts';
import type { ArchiveStore, EvidenceFacts, Range, StatementFilter } from '../store/port.ts';

export interface Advisory {
  /** As its publisher calls it: `AMD-SB-3019`. */
  readonly id: string;
  /** A machine whose REPORTED_TCB lies below one for its product is affected. */
  readonly minimumTcb: readonly Floor[];
  /** MEASUREMENT or PCR0, lower-case hex. */
  readonly deniedMeasurements: readonly string[];
  /** CHIP_ID in lower-case hex, or a Nitro module id. */
  readonly deniedChips: readonly string[];
}

export const ADVISORY_PROFILE = 'veritee/advisory/v1';

const refuse = (reason: string): never => {
  throw new CodedError('POLICY_INVALID', `advisory: ${reason}`, { field: 'advisory' });
};

const record = (value: unknown, name: string): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : refuse(`${name}: want an object`);

const list = (value: unknown, name: string): readonly unknown[] =>
  Array.isArray(value) ? value : refuse(`${name}: want a list`);

/** @throws CodedError POLICY_INVALID */
export function parseAdvisory(text: string): Advisory {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse('not JSON');
  }
  const { $comment: _, profile, id, minimumTcb, deniedMeasurements, deniedChips, ...rest } = record(value, 'file');
  if (profile !== ADVISORY_PROFILE) refuse(`profile: want ${ADVISORY_PROFILE}`);
  if (Object.keys(rest).length > 0) refuse('a field this release does not know');
  if (typeof id !== 'string' || id === '' || id.length > 256) return refuse('id: want a name');
  const advisory: Advisory = {
    id,
    minimumTcb: list(minimumTcb, 'minimumTcb').map(readFloor),
    deniedMeasurements: texts(deniedMeasurements, 'deniedMeasurements', /^[0-9a-f]{96}$/, '96 lower-case hex digits'),
    deniedChips: texts(deniedChips, 'deniedChips', /^([0-9a-f]{128}|i-[0-9a-z-]{1,128})$/, 'a CHIP_ID or a module id'),
  };
  const { minimumTcb: floors, deniedMeasurements: builds, deniedChips: chips } = advisory;
  if (floors.length + builds.length + chips.length === 0) refuse('names nothing that would be affected');
  return advisory;
}

function readFloor(value: unknown): Floor {
  const { product, ...parts } = record(value, 'minimumTcb');
  if (product !== 'Milan' && product !== 'Genoa' && product !== 'Turin') {
    return refuse('minimumTcb.product: want Milan, Genoa or Turin');
  }
  const entries = Object.entries(parts).map(([part, least]): [string, number] => {
    if (!(TCB_PARTS as readonly string[]).includes(part))
      return refuse(`minimumTcb: want parts ${TCB_PARTS.join(', ')}`);
    if (typeof least !== 'number' || !Number.isInteger(least) || least < 0 || least > 255) {
      return refuse(`minimumTcb.${part}: want a number up to 255`);
    }
    return [part, least];
  });
  if (entries.length === 0) refuse('minimumTcb: want a part');
  return { product, parts: Object.fromEntries(entries) };
}

const texts = (value: unknown, name: string, form: RegExp, want: string): string[] =>
  list(value, name).map((item) =>
    typeof item === 'string' && form.test(item) ? item : refuse(`${name}: want ${want}`),
  );

export type Reason = 'tcb' | 'measurement' | 'chip';

/** Why a machine is affected; empty when it is not, null when no verified report says what machine it is. */
export function reasonsFor(advisory: Advisory, facts: EvidenceFacts): readonly Reason[] | null {
  if (facts.platform === null) return null;
  const reasons: Reason[] = [];
  if (advisory.minimumTcb.some((floor) => isBelow(facts, floor))) reasons.push('tcb');
  if (facts.measurement !== null && advisory.deniedMeasurements.includes(facts.measurement))
    reasons.push('measurement');
  if (facts.chip !== null && advisory.deniedChips.includes(facts.chip)) reasons.push('chip');
  return reasons;
}

export interface AffectedBoot {
  readonly boot: string;
  readonly reasons: readonly Reason[];
  readonly product: string | null;
  readonly chip: string | null;
  readonly measurement: string | null;
  /** Lowest and highest REPORTED_TCB among its affected reports would differ only by an update in flight: the first. */
  readonly tcb: EvidenceFacts['tcb'];
  readonly evidence: number;
  readonly receipts: number;
}

export interface Impact {
  readonly advisory: string;
  readonly receipts: {
    readonly affected: number;
    /** Of these, ones that no report covers: the last report of their boot says what machine it was. */
    readonly uncommitted: number;
    /** Under evidence that was not verified. */
    readonly unknown: number;
    readonly unaffected: number;
  };
  readonly byReason: Readonly<Record<Reason, number>>;
  readonly evidence: { readonly affected: number; readonly unknown: number; readonly unaffected: number };
  readonly boots: readonly AffectedBoot[];
  /** Where the affected receipts lie: what `search` lists them by. */
  readonly ranges: readonly Range[];
}

/** @param filter narrows the receipts that are counted, to a tenant or a time for example */
export async function impactOf(
  store: ArchiveStore,
  advisory: Advisory,
  filter: Omit<StatementFilter, 'ranges'> = {},
): Promise<Impact> {
  const counted = { affected: 0, uncommitted: 0, unknown: 0, unaffected: 0 };
  const evidence = { affected: 0, unknown: 0, unaffected: 0 };
  const byReason: Record<Reason, number> = { tcb: 0, measurement: 0, chip: 0 };
  const affected: AffectedBoot[] = [];
  const all: Range[] = [];
  for (const { boot } of await store.boots()) {
    if (filter.boot !== undefined && filter.boot !== boot) continue;
    const groups = await groupsOf(store, advisory, boot);
    for (const { reasons, pieces } of groups) {
      const receipts = await store.countStatements({ ...filter, ranges: pieces });
      const files = pieces.filter(({ committed }) => committed).length;
      if (reasons === null || reasons.length === 0) {
        counted[reasons ? 'unaffected' : 'unknown'] += receipts;
        evidence[reasons ? 'unaffected' : 'unknown'] += files;
        continue;
      }
      counted.affected += receipts;
      evidence.affected += files;
      const open = pieces.filter(({ committed }) => !committed);
      if (open.length > 0) counted.uncommitted += await store.countStatements({ ...filter, ranges: open });
      for (const reason of reasons) byReason[reason] += receipts;
      const [
        {
          evidence: { facts },
        },
      ] = pieces;
      const { product, chip, measurement, tcb } = facts;
      affected.push({ boot, reasons, product, chip, measurement, tcb, evidence: files, receipts });
      all.push(...pieces.map(({ from, to }) => ({ boot, from, to })));
    }
  }
  return { advisory: advisory.id, receipts: counted, byReason, evidence, boots: affected, ranges: all };
}

interface Group {
  readonly reasons: readonly Reason[] | null;
  readonly pieces: readonly [Covered, ...Covered[]];
}

/** Stretches of one boot that are affected for the same reasons: firmware can be updated while it runs. */
async function groupsOf(store: ArchiveStore, advisory: Advisory, boot: string): Promise<readonly Group[]> {
  const groups = new Map<
    string,
    { readonly reasons: readonly Reason[] | null; readonly pieces: [Covered, ...Covered[]] }
  >();
  for await (const piece of coverageOf(store, boot)) {
    const reasons = reasonsFor(advisory, piece.evidence.facts);
    const key = reasons?.join(' ') ?? 'unknown';
    const group = groups.get(key);
    if (group) group.pieces.push(piece);
    else groups.set(key, { reasons, pieces: [piece] });
  }
  return [...groups.values()];
}
