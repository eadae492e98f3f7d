/**
 * Timestamps over the archive's own signed heads: everything that an act before the head commits to existed by then, by the
 * word of an outside clock.
 *
 * A token weakens when its authority's certificate ends. Before that it is renewed: a new token over the old one's bytes
 * (the idea of RFC 4998 §5.2). A chain stands while each token was renewed within its certificate's life and the last is
 * within its own.
 */
import { base64, bytes, CodedError, equalBytes, type Hash, hex, utf8 } from '@veritee/protocol';
import type { Certificate } from 'pkijs';
import type { Archive } from '../archive.ts';
import type { RecordedAct } from '../log/acts.ts';
import { archiveOrigin, parseArchiveCheckpoint } from '../log/checkpoint.ts';
import { Frontier } from '../log/frontier.ts';
import { actsOfKinds } from '../log/read.ts';
import type { Place } from '../store/port.ts';
import { invalidToken, timestampRequest, tokenOfResponse, type VerifiedToken, verifyToken } from './token.ts';

/** Sends a DER request to an authority and gives its DER answer. */
export type AskAuthority = (request: Uint8Array<ArrayBuffer>) => Promise<Uint8Array>;
type TimestampAct = Extract<RecordedAct, { kind: 'timestamp' }>;

const TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 65_536;

/** @throws CodedError SERVICE_UNREACHABLE, SERVICE_REFUSED, SERVICE_ANSWER_INVALID */
export const httpAuthority =
  (url: string): AskAuthority =>
  async (request) => {
    let response: Response;
    try {
      response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/timestamp-query', accept: 'application/timestamp-reply' },
        body: request,
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (cause) {
      throw new CodedError('SERVICE_UNREACHABLE', `${url}: ${(cause as Error).name}`, { field: 'tsa', cause });
    }
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new CodedError('SERVICE_REFUSED', `${url}: status ${response.status}`, { field: 'tsa' });
    }
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const part of response.body ?? []) {
      length += (part as Uint8Array).length;
      if (length > MAX_ANSWER_BYTES) {
        throw new CodedError('SERVICE_ANSWER_INVALID', `${url}: more than ${MAX_ANSWER_BYTES} bytes`, { field: 'tsa' });
      }
      parts.push(part as Uint8Array);
    }
    return new Uint8Array(Buffer.concat(parts));
  };

/** What a timestamp of a head is over: the three lines that the archive signs. */
export const stampedBody = (id: string, size: number, root: Hash): Uint8Array<ArrayBuffer> =>
  utf8(`${archiveOrigin(id)}\n${size}\n${base64(root)}\n`);

export interface Stamped {
  readonly act: number;
  readonly size: number;
  readonly existedByMs: number;
  readonly authority: string;
}

/** Null for a renewal that would end no later than what it renews, and is not kept. */
async function stamp(
  archive: Archive,
  ask: AskAuthority,
  authorities: readonly Certificate[],
  head: { readonly size: number; readonly root: Hash },
  renewed: { readonly act: TimestampAct; readonly token: Uint8Array; readonly verified: VerifiedToken } | null,
): Promise<Stamped | null> {
  const data = renewed ? renewed.token : stampedBody(archive.id, head.size, head.root);
  const request = timestampRequest(data);
  const token = tokenOfResponse(await ask(request.der), request);
  const { genTimeMs, authority, validUntilMs } = await verifyToken(token, data, authorities);
  if (renewed && genTimeMs > renewed.verified.validUntilMs) {
    throw invalidToken(`act ${renewed.act.index} can no longer be renewed: its certificate has ended`);
  }
  if (renewed && validUntilMs <= renewed.verified.validUntilMs) return null;
  const blob = await archive.blobs.put(token);
  const recorded = await archive.record([
    {
      kind: 'timestamp',
      size: head.size,
      root: head.root,
      token: blob,
      existedBy: genTimeMs,
      authority,
      renews: renewed ? renewed.act.token : null,
    },
  ]);
  const [act] = recorded?.acts ?? [];
  if (!act) throw new TypeError('a timestamp that was not recorded');
  return { act: act.index, size: head.size, existedByMs: genTimeMs, authority };
}

/**
 * Over the newest head.
 * @throws CodedError SERVICE_UNREACHABLE, SERVICE_REFUSED; EVIDENCE_MALFORMED, SIGNATURE_INVALID, CHAIN_UNTRUSTED: the
 *   answer is none that we would believe later, and is not kept
 */
export async function timestampHead(
  archive: Archive,
  ask: AskAuthority,
  authorities: readonly Certificate[],
): Promise<Stamped> {
  const head = await archive.store.actHead();
  if (!head) throw new TypeError('an archive without a head');
  const { size, root } = parseArchiveCheckpoint(head.note);
  const stamped = await stamp(archive, ask, authorities, { size, root }, null);
  if (!stamped) throw new TypeError('a first timestamp renews nothing');
  return stamped;
}

/** Every timestamp that stands, was not renewed, and ends before the given time, is renewed where that lengthens its life. */
export async function renewTimestamps(
  archive: Archive,
  ask: AskAuthority,
  authorities: readonly Certificate[],
  endingBeforeMs: number,
): Promise<readonly Stamped[]> {
  const done: Stamped[] = [];
  for (const { act, token, verified, renewedBy } of await readTokens(archive, authorities)) {
    if (!token || !verified || renewedBy !== null || verified.validUntilMs >= endingBeforeMs) continue;
    const stamped = await stamp(archive, ask, authorities, act, { act, token, verified });
    if (stamped) done.push(stamped);
  }
  return done;
}

interface ReadToken {
  readonly act: TimestampAct;
  readonly token: Uint8Array | null;
  readonly verified: VerifiedToken | null;
  readonly problem: string | null;
  /** Index of the act that renewed it. */
  readonly renewedBy: number | null;
}

async function readTokens(archive: Archive, authorities: readonly Certificate[]): Promise<ReadToken[]> {
  const acts: TimestampAct[] = [];
  for await (const act of actsOfKinds(archive.store, ['timestamp'])) acts.push(act);
  const tokens: ReadToken[] = [];
  for (const act of acts) {
    const renewedBy = acts.find(({ index, renews }) => index > act.index && renews && equalBytes(renews, act.token));
    try {
      const token = await archive.blobs.get(act.token);
      if (!token) throw invalidToken('its token is gone');
      const data = act.renews ? await archive.blobs.get(act.renews) : stampedBody(archive.id, act.size, act.root);
      if (!data) throw invalidToken('the token that it renews is gone');
      const verified = await verifyToken(token, data, authorities);
      tokens.push({ act, token, verified, problem: null, renewedBy: renewedBy?.index ?? null });
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      tokens.push({ act, token: null, verified: null, problem: error.message, renewedBy: renewedBy?.index ?? null });
    }
  }
  return tokens;
}

export interface Standing {
  readonly act: number;
  /** Every act before this one existed by `existedByMs`. */
  readonly size: number;
  readonly existedByMs: number;
  readonly authority: string;
  readonly renewedBy: number | null;
  /** Null when it stands. */
  readonly problem: string | null;
}

/**
 * Every timestamp over a head of this log, verified again as of `nowMs`.
 * @param authorities trusted roots: without the one that an authority chains to, its tokens do not stand
 */
export async function verifyTimestamps(
  archive: Archive,
  authorities: readonly Certificate[],
  nowMs: number,
): Promise<readonly Standing[]> {
  const tokens = await readTokens(archive, authorities);
  const byAct = new Map(tokens.map((one) => [one.act.index, one]));
  const roots = await rootsAt(archive, new Set(tokens.map(({ act }) => act.size)));
  const chainProblem = ({ verified, problem, renewedBy, act }: ReadToken): string | null => {
    if (!verified) return problem ?? 'not verified';
    const root = roots.get(act.size);
    if (!root || !equalBytes(root, act.root)) return 'over a head that is not of this log';
    const next = renewedBy === null ? undefined : byAct.get(renewedBy);
    if (!next) return verified.validUntilMs < nowMs ? 'its certificate has ended and it was not renewed' : null;
    if (next.verified && next.verified.genTimeMs > verified.validUntilMs)
      return 'renewed after its certificate had ended';
    return chainProblem(next);
  };
  return tokens
    .filter(({ act }) => act.renews === null)
    .map((one) => ({
      act: one.act.index,
      size: one.act.size,
      existedByMs: one.verified?.genTimeMs ?? one.act.existedBy,
      authority: one.verified?.authority ?? one.act.authority,
      renewedBy: one.renewedBy,
      problem: chainProblem(one),
    }));
}

/** Roots of this log at some of its earlier sizes. */
async function rootsAt(archive: Archive, sizes: ReadonlySet<number>): Promise<ReadonlyMap<number, Hash>> {
  const leaves = await archive.store.actLeaves();
  const log = Frontier.empty();
  const roots = new Map<number, Hash>();
  for (let at = 0; at < leaves.length; at += 32) {
    log.append(bytes(leaves.subarray(at, at + 32), 32, 'leaf'));
    if (sizes.has(log.size)) roots.set(log.size, log.root());
  }
  return roots;
}

/** The earliest time by which an entry demonstrably existed; null when no standing timestamp covers the act that brought it. */
export async function entryExistedBy(
  archive: Archive,
  { boot, index }: Place,
  standing: readonly Standing[],
): Promise<Standing | null> {
  let brought: number | null = null;
  for await (const act of actsOfKinds(archive.store, ['ingest', 'tail', 'deposit'])) {
    if (hex(act.boot) !== boot) continue;
    const holds =
      act.kind === 'deposit' ? act.entries.some((one) => one.index === index) : act.from <= index && index < act.to;
    if (!holds) continue;
    brought = act.index;
    break;
  }
  if (brought === null) return null;
  const at = brought;
  return standing
    .filter(({ size, problem }) => problem === null && size > at)
    .reduce<Standing | null>((first, one) => (first && first.existedByMs <= one.existedByMs ? first : one), null);
}
