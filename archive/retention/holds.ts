/** Legal holds: what they cover is not erased, whatever rule or person asks, until they are released. Both are acts. */
import { CodedError } from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import type { Scope } from '../log/acts.ts';
import { actsOfKinds } from '../log/read.ts';

export interface Hold {
  readonly name: string;
  readonly scope: Scope;
  readonly reason: string;
  readonly act: number;
  readonly sinceMs: number;
  readonly by: string;
}

const usage = (reason: string): CodedError => new CodedError('USAGE', reason, { field: 'hold' });

export async function holdsInForce({ store }: Pick<Archive, 'store'>): Promise<ReadonlyMap<string, Hold>> {
  const holds = new Map<string, Hold>();
  for await (const act of actsOfKinds(store, ['hold', 'release'])) {
    if (act.kind === 'release') holds.delete(act.hold);
    else {
      const { hold: name, scope, reason, index, timeMs: sinceMs, by } = act;
      holds.set(name, { name, scope, reason, act: index, sinceMs, by });
    }
  }
  return holds;
}

const MAX_NAME = 128;
const MAX_REASON = 900;

function checkWords(name: string, reason: string): void {
  if (!/^[\w][\w .:/-]*$/.test(name) || name.length > MAX_NAME)
    throw usage(`a hold's name: want up to ${MAX_NAME} plain characters`);
  checkReason(reason);
}

export function checkReason(reason: string): void {
  if (reason.trim() === '' || Buffer.byteLength(reason) > MAX_REASON) {
    throw new CodedError('USAGE', `a reason: want up to ${MAX_REASON} bytes of text`, { field: 'reason' });
  }
}

/** @returns the index of the act. @throws CodedError USAGE no reason, or a hold of this name is in force */
export async function hold(archive: Archive, name: string, scope: Scope, reason: string): Promise<number> {
  checkWords(name, reason);
  if ((await holdsInForce(archive)).has(name)) throw usage(`hold ${name} is in force already`);
  return recorded(archive, { kind: 'hold', hold: name, scope, reason });
}

/** @returns the index of the act. @throws CodedError USAGE no reason, or no hold of this name is in force */
export async function release(archive: Archive, name: string, reason: string): Promise<number> {
  checkWords(name, reason);
  if (!(await holdsInForce(archive)).has(name)) throw usage(`no hold ${name} is in force`);
  return recorded(archive, { kind: 'release', hold: name, reason });
}

async function recorded(archive: Archive, act: Parameters<Archive['record']>[0][number]): Promise<number> {
  const done = await archive.record([act]);
  const [first] = done?.acts ?? [];
  if (!first) throw new TypeError('an act that was not recorded');
  return first.index;
}
