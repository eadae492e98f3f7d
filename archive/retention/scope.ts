/** Which receipts an export, a hold or a purge is about. */
import { bytes, hex } from '@veritee/protocol';
import { bootField, type Scope } from '../log/acts.ts';
import type { ArchiveStore, StatementFilter, StatementRow } from '../store/port.ts';

const PAGE = 1000;

/** What flags and callers give; every given field must match. */
export interface ScopeInput {
  readonly boot?: string;
  readonly receiptIds?: readonly Uint8Array[];
  readonly fromMs?: number;
  readonly toMs?: number;
  readonly tenant?: string;
  readonly model?: string;
  readonly modelDigest?: Uint8Array;
  readonly outcome?: string;
  readonly retentionClass?: string;
}

export const scopeOf = (input: ScopeInput): Scope => ({
  boot: input.boot === undefined ? null : bootField(input.boot),
  receiptIds: [...new Map((input.receiptIds ?? []).map((id) => [hex(id), bytes(id, 16, 'receipt id')])).values()],
  fromMs: input.fromMs ?? null,
  toMs: input.toMs ?? null,
  tenant: input.tenant ?? null,
  model: input.model ?? null,
  modelDigest: input.modelDigest ? bytes(input.modelDigest, 32, 'model digest') : null,
  outcome: input.outcome ?? null,
  retentionClass: input.retentionClass ?? null,
});

const filterOf = (scope: Scope): StatementFilter => ({
  ...(scope.boot ? { boot: hex(scope.boot) } : {}),
  ...(scope.fromMs === null ? {} : { fromMs: scope.fromMs }),
  ...(scope.toMs === null ? {} : { toMs: scope.toMs }),
  ...(scope.tenant === null ? {} : { tenant: scope.tenant }),
  ...(scope.model === null ? {} : { model: scope.model }),
  ...(scope.modelDigest ? { modelDigest: scope.modelDigest } : {}),
  ...(scope.outcome === null ? {} : { outcome: scope.outcome }),
  ...(scope.retentionClass === null ? {} : { retentionClass: scope.retentionClass }),
});

const filtersOf = (scope: Scope): readonly StatementFilter[] =>
  scope.receiptIds.length === 0
    ? [filterOf(scope)]
    : scope.receiptIds.map((receiptId) => ({ ...filterOf(scope), receiptId }));

/** The statements of a scope, by boot and index; with receipt ids, in the order of these. */
export async function* statementsIn(store: ArchiveStore, scope: Scope): AsyncGenerator<StatementRow> {
  for (const filter of filtersOf(scope)) {
    let after: StatementRow | null = null;
    for (;;) {
      const page: readonly StatementRow[] = await store.statements(filter, { after, limit: PAGE });
      yield* page;
      const last = page.at(-1);
      if (!last || page.length < PAGE) break;
      after = last;
    }
  }
}

export async function countIn(store: ArchiveStore, scope: Scope): Promise<number> {
  let count = 0;
  for (const filter of filtersOf(scope)) count += await store.countStatements(filter);
  return count;
}

/** Whether a statement is within a scope, by the same rules as the store. */
export function isWithin(row: StatementRow, scope: Scope): boolean {
  const { boot, receiptIds, fromMs, toMs, tenant, model, modelDigest, outcome, retentionClass } = scope;
  return (
    (boot === null || hex(boot) === row.boot) &&
    (receiptIds.length === 0 || receiptIds.some((id) => hex(id) === hex(row.receiptId))) &&
    (fromMs === null || row.timeMs >= fromMs) &&
    (toMs === null || row.timeMs < toMs) &&
    (tenant === null || row.tenant === tenant) &&
    (model === null || row.model?.name === model) &&
    (modelDigest === null || (row.model !== null && hex(row.model.digest) === hex(modelDigest))) &&
    (outcome === null || row.outcome === outcome) &&
    (retentionClass === null || row.retentionClass === retentionClass)
  );
}

export type ScopeJson = Readonly<Record<string, string | number | readonly string[]>>;

/** For a manifest or a screen: only what is given, times as ISO 8601. */
export function scopeToJson(scope: Scope): ScopeJson {
  const fields: Record<string, string | number | readonly string[]> = {};
  if (scope.boot) fields['boot'] = hex(scope.boot);
  if (scope.receiptIds.length > 0) fields['receiptIds'] = scope.receiptIds.map(hex);
  if (scope.fromMs !== null) fields['from'] = new Date(scope.fromMs).toISOString();
  if (scope.toMs !== null) fields['to'] = new Date(scope.toMs).toISOString();
  if (scope.tenant !== null) fields['tenant'] = scope.tenant;
  if (scope.model !== null) fields['model'] = scope.model;
  if (scope.modelDigest) fields['modelDigest'] = hex(scope.modelDigest);
  if (scope.outcome !== null) fields['outcome'] = scope.outcome;
  if (scope.retentionClass !== null) fields['retentionClass'] = scope.retentionClass;
  return fields;
}
