/**
 * The link between enclave and host: HTTP over a unix socket or TCP. The host is untrusted, so nothing on it is secret
 * and nothing from it is believed; it carries entries and evidence out, acknowledgements and requests in.
 *
 * `GET  /link/hello`            `LinkHello` as JSON
 * `GET  /link/records?from=N`   an endless stream of frames, from record N on (records are numbered from 0 in each boot)
 * `POST /link/ack?position=N`   every record below N is durable at the host; answers 204
 * `POST /link/challenge`        body: a nonce of 8 to 64 bytes; answers `LinkChallenge` as JSON after its tick
 * `GET  /link/status`           `LinkStatus` as JSON
 * `GET  /link/endorsements`      the SNP report that no certificate at hand fits, raw; 204 when none is wanted
 * `POST /link/endorsements`      body: certificates for it, PEM, DER or an SNP certificate table; answers 204, and whether
 *                               they fit is what the GET says from then on
 * `POST /ohttp`                 a sealed request; 200 and the sealed answer, or a refusal that names `Veritee-Error-Code`
 * `/v2/…`                       Open Inference Protocol in the clear, where the enclave takes it
 *
 * An answer of either that has an entry names it in `Veritee-Entry`, and the boot in `Veritee-Boot`.
 * The host relays such an answer only when that entry is durable.
 */
import { concat, join } from './bytes.ts';
import { EvidenceError } from './errors.ts';

export const HEADER = {
  nonce: 'veritee-nonce',
  receiptId: 'veritee-receipt-id',
  requestSalt: 'veritee-request-salt',
  responseSalt: 'veritee-response-salt',
  statement: 'veritee-statement',
  /** Inside a sealed request: the answer is padded to a multiple of so many bytes. */
  padding: 'veritee-padding',
  boot: 'veritee-boot',
  /** On the link only: the leaf index of the entry an answer belongs to. */
  entry: 'veritee-entry',
  /** On `/receipts/:id`: `hardware-committed`, `pending` or `neverCommitted`. */
  receiptStatus: 'veritee-receipt-status',
  /** The stable code beside an error answer of the Open Inference Protocol. */
  errorCode: 'veritee-error-code',
} as const;

/** RFC 9110 §7.6.1: fields of one connection, which nobody passes on. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

export interface LinkHello {
  /** 32 lower-case hex digits. */
  readonly boot: string;
  /** Records below this number were acknowledged and are no longer held. */
  readonly acknowledged: number;
  /** Loud when the platform is simulated; null otherwise. */
  readonly warning: string | null;
}

export interface LinkChallenge {
  /** Leaf index of the challenges entry. */
  readonly entry: number;
  readonly nonceIndex: number;
  /** Hex. */
  readonly noncePath: readonly string[];
  /** Hex: REPORT_DATA of the evidence that commits the entry. */
  readonly reportData: string;
}

export interface LinkStatus {
  readonly boot: string;
  readonly platform: string;
  readonly warning: string | null;
  /** Entries in the log, and how many of them the last report covers. */
  readonly size: number;
  readonly committed: number;
  /** Milliseconds since the last report was obtained; null before the first. */
  readonly evidenceAgeMs: number | null;
  /** Why the last tick failed, as a code; null when it did not. */
  readonly tickError: string | null;
  /** Why no sealed request can be opened, as a code; null when they can. */
  readonly sealingError: string | null;
  /** `code` is null for a model that is ready; `version` for a model folder without versions. */
  readonly models: readonly { readonly name: string; readonly version: string | null; readonly code: string | null }[];
}

export const FRAME = { entry: 1, evidence: 2, heartbeat: 3 } as const;
export type FrameType = (typeof FRAME)[keyof typeof FRAME];

export interface Frame {
  readonly type: FrameType;
  readonly body: Uint8Array;
}

/** An evidence file is the largest thing on the link. */
const MAX_FRAME_BODY = 4 << 20;

/** Frame: type (u8) ‖ length (u32, big-endian) ‖ body. */
export function encodeFrame(type: FrameType, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = new Uint8Array(5);
  head[0] = type;
  new DataView(head.buffer).setUint32(1, body.length);
  return concat(head, body);
}

const FRAME_HEAD = 5;

/** Cuts a byte stream into frames; feed it chunks of any size. Once it has thrown, the stream is of no more use. */
export class FrameReader {
  /** Chunks that do not yet make a frame, joined only when they do. */
  #parts: Uint8Array[] = [];
  #held = 0;
  #wanted = FRAME_HEAD;

  /** @throws EvidenceError EVIDENCE_MALFORMED */
  push(chunk: Uint8Array): Frame[] {
    this.#parts.push(new Uint8Array(chunk)); // a copy: a Buffer's `slice` would not be one
    this.#held += chunk.length;
    if (this.#held < this.#wanted) return [];
    let data: Uint8Array = join(this.#parts);
    let wanted = FRAME_HEAD;
    const frames: Frame[] = [];
    while (data.length >= FRAME_HEAD) {
      const type = data[0] as number;
      const length = new DataView(data.buffer, data.byteOffset).getUint32(1);
      if (type < FRAME.entry || type > FRAME.heartbeat || length > MAX_FRAME_BODY) {
        throw new EvidenceError('EVIDENCE_MALFORMED', 'link: not a frame', { field: 'link' });
      }
      wanted = FRAME_HEAD + length;
      if (data.length < wanted) break;
      frames.push({ type: type as FrameType, body: data.slice(FRAME_HEAD, wanted) });
      data = data.subarray(wanted);
      wanted = FRAME_HEAD;
    }
    this.#parts = [data.slice()];
    this.#held = data.length;
    this.#wanted = wanted;
    return frames;
  }
}
