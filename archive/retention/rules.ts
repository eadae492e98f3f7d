/**
 * How long receipts are kept: a file of rules, of which the first that matches a receipt decides. A receipt that no rule
 * matches is kept.
 *
 * ```json
 * { "profile": "veritee/retention/v1",
 *   "rules": [{ "name": "banking", "class": "mifid", "tenant": null, "model": null, "keepDays": 2557 },
 *             { "name": "evidence", "class": null, "tenant": "acme", "model": null, "keepDays": "forever" }] }
 * ```
 */
import { CodedError, fromUtf8 } from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import { actsOfKinds } from '../log/read.ts';
import type { StatementRow } from '../store/port.ts';

const PROFILE = 'veritee/retention/v1';
const MAX_RULES = 1000;
const MAX_DAYS = 36_525;
const MAX_NAME = 256;
const DAY_MS = 86_400_000;

export interface RetentionRule {
  readonly name: string;
  /** Null matches every one; the model by its name. */
  readonly class: string | null;
  readonly tenant: string | null;
  readonly model: string | null;
  /** From the later of the enclave's claim and the day the archive first saw it. */
  readonly keepDays: number | 'forever';
}

/** @throws CodedError POLICY_INVALID */
export function parseRetentionRules(file: Uint8Array): readonly RetentionRule[] {
  const fail = (reason: string): never => {
    throw new CodedError('POLICY_INVALID', `retention: ${reason}`, { field: 'retention' });
  };
  const object = (value: unknown, what: string): Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : fail(`${what}: want an object`);
  let json: unknown;
  try {
    json = JSON.parse(fromUtf8(file));
  } catch {
    fail('not JSON');
  }
  const { profile, rules, ...rest } = object(json, 'the file');
  if (profile !== PROFILE) fail(`profile: want ${PROFILE}`);
  if (Object.keys(rest).length > 0) fail('a field that is not of this profile');
  if (!Array.isArray(rules) || rules.length > MAX_RULES) return fail(`rules: want a list of at most ${MAX_RULES}`);
  const names = new Set<string>();
  return rules.map((item: unknown, i) => {
    const { name, class: retentionClass, tenant, model, keepDays, ...more } = object(item, `rules[${i}]`);
    const label = (value: unknown, field: string): string =>
      typeof value === 'string' && value !== '' && value.length <= MAX_NAME
        ? value
        : fail(`rules[${i}].${field}: want a name of 1 to ${MAX_NAME} characters`);
    const labelOrNull = (value: unknown, field: string): string | null => (value === null ? null : label(value, field));
    if (Object.keys(more).length > 0) fail(`rules[${i}]: a field that is not of this profile`);
    const days =
      keepDays === 'forever' ||
      (Number.isSafeInteger(keepDays) && Number(keepDays) >= 1 && Number(keepDays) <= MAX_DAYS)
        ? (keepDays as number | 'forever')
        : fail(`rules[${i}].keepDays: want 1 to ${MAX_DAYS}, or forever`);
    const rule: RetentionRule = {
      name: label(name, 'name'),
      class: labelOrNull(retentionClass, 'class'),
      tenant: labelOrNull(tenant, 'tenant'),
      model: labelOrNull(model, 'model'),
      keepDays: days,
    };
    if (names.has(rule.name)) fail(`rules[${i}].name: used twice`);
    names.add(rule.name);
    return rule;
  });
}

export const ruleFor = (row: StatementRow, rules: readonly RetentionRule[]): RetentionRule | null =>
  rules.find(
    (rule) =>
      (rule.class === null || rule.class === row.retentionClass) &&
      (rule.tenant === null || rule.tenant === row.tenant) &&
      (rule.model === null || rule.model === row.model?.name),
  ) ?? null;

/** @param firstSeenMs when the archive first saw the evidence over the receipt: a claimed time alone would let a wrong clock erase */
export const isExpired = (row: StatementRow, rule: RetentionRule, firstSeenMs: number, nowMs: number): boolean =>
  rule.keepDays !== 'forever' && Math.max(row.timeMs, firstSeenMs) + rule.keepDays * DAY_MS <= nowMs;

/** From here on these rules are in force; that they are is an act. @throws CodedError POLICY_INVALID */
export async function setRetention(archive: Archive, file: Uint8Array): Promise<number> {
  parseRetentionRules(file);
  const recorded = await archive.record([{ kind: 'retention', rules: await archive.blobs.put(file) }]);
  const [act] = recorded?.acts ?? [];
  if (!act) throw new TypeError('rules that were not recorded');
  return act.index;
}

/** Those in force; none when none were ever set. @throws CodedError STORE_FAILED their file is gone */
export async function retentionInForce(archive: Archive): Promise<readonly RetentionRule[]> {
  let rules: readonly RetentionRule[] = [];
  for await (const act of actsOfKinds(archive.store, ['retention'])) {
    const file = await archive.blobs.get(act.rules);
    if (!file) {
      throw new CodedError('STORE_FAILED', `the retention rules of act ${act.index} are gone`, { field: 'retention' });
    }
    rules = parseRetentionRules(file);
  }
  return rules;
}
