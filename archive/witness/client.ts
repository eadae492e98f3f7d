/**
 * Has a witness cosign the archive's own head: somebody else then knows of it, and a shorter or other log cannot be shown
 * to anyone who asks for the witness's line.
 *
 * @see https://c2sp.org/tlog-witness and https://c2sp.org/tlog-cosignature
 */
import { base64, CodedError, consistencyPath, type Hash, hex } from '@veritee/protocol';
import type { Archive } from '../archive.ts';
import { finding } from '../findings.ts';
import { actsOfKinds } from '../log/read.ts';
import { parseCheckpointNote, parseSignatureLine, verifyCosignature, type Witness } from '../proofs/note.ts';
import { pyramidOf } from '../proofs/paths.ts';
import type { ActHead } from '../store/port.ts';

const TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 16_384;
const SIZE_TYPE = 'text/x.tlog.size';

export interface Cosigned {
  readonly act: number;
  readonly size: number;
  /** The witness's clock, milliseconds since 1970. */
  readonly timeMs: number;
}

const answerInvalid = (url: string, reason: string): CodedError =>
  new CodedError('SERVICE_ANSWER_INVALID', `${url}: ${reason}`, { field: 'witness' });

/**
 * @param url the witness's submission prefix
 * @throws CodedError SERVICE_UNREACHABLE; SERVICE_REFUSED; SERVICE_ANSWER_INVALID; LOG_FORKED the witness knows another
 *   log of this archive, which is recorded as a finding
 */
export async function cosignHead(archive: Archive, url: string, witness: Witness): Promise<Cosigned> {
  const head = await archive.store.actHead();
  if (!head) throw new TypeError('an archive without a head');
  const known = await lastCosigned(archive, witness);
  let answer = await submit(archive, url, head, known);
  if (answer.status === 409 && answer.type === SIZE_TYPE) {
    const size = Number(/^(0|[1-9]\d{0,15})\n$/.exec(answer.text)?.[1] ?? Number.NaN);
    if (!Number.isSafeInteger(size)) throw answerInvalid(url, 'a conflict without a size');
    if (size > head.size)
      throw await forked(archive, url, `has cosigned ${size} acts, of which ${head.size} are here`, head);
    if (size !== known) answer = await submit(archive, url, head, size);
  }
  if (answer.status === 409 || answer.status === 422) {
    throw await forked(archive, url, `says that these ${head.size} acts do not continue what it cosigned`, head);
  }
  if (answer.status !== 200) {
    throw new CodedError('SERVICE_REFUSED', `${url}: status ${answer.status}`, { field: 'witness' });
  }
  return keep(archive, url, witness, head, answer.text);
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

async function submit(archive: Archive, url: string, head: ActHead, old: number): Promise<Answer> {
  const rows = pyramidOf(await archive.store.actLeaves());
  const read = ({ level, index }: { readonly level: number; readonly index: number }) => rows[level]?.[index] as Hash;
  const proof = old === 0 || old === head.size ? [] : consistencyPath(old, head.size, read);
  const body = `${[`old ${old}`, ...proof.map(base64)].join('\n')}\n\n${head.note}`;
  try {
    const response = await fetch(`${url.replace(/\/$/, '')}/add-checkpoint`, {
      method: 'POST',
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const type = response.headers.get('content-type') ?? '';
    return { status: response.status, type: (type.split(';')[0] ?? '').trim(), text: await readText(response, url) };
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    throw new CodedError('SERVICE_UNREACHABLE', `${url}: ${(cause as Error).name}`, { field: 'witness', cause });
  }
}

async function readText(response: Response, url: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += (part as Uint8Array).length;
    if (length > MAX_ANSWER_BYTES) throw answerInvalid(url, `more than ${MAX_ANSWER_BYTES} bytes`);
    parts.push(part as Uint8Array);
  }
  return Buffer.concat(parts).toString();
}

/** The line of the witness that was asked, verified; lines of keys we do not know are passed over. */
async function keep(archive: Archive, url: string, witness: Witness, head: ActHead, text: string): Promise<Cosigned> {
  const { body } = parseCheckpointNote(head.note);
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const seconds = await verifyCosignature(body, parseSignatureLine(line), witness);
    if (seconds === null) continue;
    const { size, root } = head;
    const recorded = await archive.record([{ kind: 'cosignature', size, root, line }]);
    const [act] = recorded?.acts ?? [];
    if (!act) throw new TypeError('a cosignature that was not recorded');
    return { act: act.index, size, timeMs: seconds * 1000 };
  }
  throw answerInvalid(url, `no valid line of ${witness.name}`);
}

async function forked(archive: Archive, url: string, reason: string, { root }: ActHead): Promise<CodedError> {
  const text = `a witness ${reason}`;
  await archive.record([], undefined, [finding('STORE_ROLLED_BACK', text, { object: hex(root) })]);
  return new CodedError('LOG_FORKED', `${url}: ${text}`, { field: 'witness' });
}

/** The size of the newest head that this witness has cosigned, as the archive's log says; 0 for none. */
async function lastCosigned({ store }: Archive, { name }: Witness): Promise<number> {
  let size = 0;
  for await (const act of actsOfKinds(store, ['cosignature'])) {
    if (parseSignatureLine(act.line).name === name) size = act.size;
  }
  return size;
}

/** Witnesses' lines on the archive's head of this size. */
export async function cosignaturesOf({ store }: Archive, size: number): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const act of actsOfKinds(store, ['cosignature'])) if (act.size === size) lines.push(act.line);
  return lines;
}
