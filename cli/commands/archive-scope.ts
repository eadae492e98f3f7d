/** The receipts that a verb of the archive is about, from its flags. */
import { type Scope, scopeOf } from '@veritee/archive';
import { fromHex } from '@veritee/protocol';
import { readTime, usage } from '../inputs.ts';
import type { ScopeFlags } from './archive-scope-flags.ts';

/** @throws InputError USAGE */
export function readScope(flags: ScopeFlags): Scope {
  const { boot, from, to, tenant, model, modelDigest, outcome } = flags;
  if (boot !== undefined) readId(boot, 'boot', 16);
  return scopeOf({
    receiptIds: flags.receipt.map((id) => readId(id, 'receipt', 16)),
    ...(boot === undefined ? {} : { boot }),
    ...(from === undefined ? {} : { fromMs: readTime(from).getTime() }),
    ...(to === undefined ? {} : { toMs: readTime(to).getTime() }),
    ...(tenant === undefined ? {} : { tenant }),
    ...(model === undefined ? {} : { model }),
    ...(modelDigest === undefined ? {} : { modelDigest: readId(modelDigest, 'model-digest', 32) }),
    ...(outcome === undefined ? {} : { outcome }),
    ...(flags.class === undefined ? {} : { retentionClass: flags.class }),
  });
}

export function readId(text: string, flag: string, length: number): Uint8Array<ArrayBuffer> {
  const value = fromHex(text);
  if (value?.length !== length) throw usage(flag, `${2 * length} lower-case hex digits`);
  return value;
}
