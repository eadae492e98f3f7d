/** From an answer to its receipt, and from the session's word to the hardware's. */
import { encodeReceipt, equalBytes, HEADER, hex, parseAttestation, parseReceipt } from '@veritee/protocol';
import { type AppraisalPolicy, type AttestationResult, assess, type Expected } from '@veritee/verifier';
import { hostError } from './answer-error.ts';
import type { Attested } from './attestations.ts';
import { type Call, withCall } from './call.ts';
import { ClientError, refusal } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { ClientOptions } from './options.ts';
import { Receipt, type ReceiptFacts } from './receipt.ts';
import { type Answer, MAX_FILE_BYTES, type Service } from './service.ts';

const LONGEST_PAUSE_MS = 1000;
const SHORTEST_PAUSE_MS = 50;

export type Assess = (
  file: Uint8Array,
  kind: 'attestation' | 'receipt',
  policy: AppraisalPolicy,
  expected: Expected,
) => Promise<AttestationResult>;

/** The verifier, with the caller's anchors and clock. */
export const assessWith =
  ({ trustAnchors = [], now = () => new Date() }: ClientOptions): Assess =>
  (file, kind, policy, expected) =>
    assess({ file, kind, policy, at: now(), trustAnchors, expected });

export class Receipts {
  readonly #service: Service;
  readonly #policy: AppraisalPolicy;
  readonly #assess: Assess;

  constructor(service: Service, policy: AppraisalPolicy, assess: Assess) {
    this.#service = service;
    this.#policy = policy;
    this.#assess = assess;
  }

  /**
   * The receipt as it stands at once: signed by the session that the attestation vouches for.
   * @throws ClientError the first finding's code
   */
  async sessionSigned(exchange: Exchange, { file: attestation }: Attested): Promise<Receipt> {
    const { evidence } = parseAttestation(attestation);
    const file = encodeReceipt({ statement: exchange.message, path: null, evidence: { file: evidence } });
    const policy = { ...this.#policy, strength: 'session-signed' } as const;
    const result = await this.#assess(file, 'receipt', policy, exchange.expected);
    if (result.verdict !== 'affirming' || result.kind !== 'receipt') throw refusal('answer', result);
    const { expected, private: parts } = exchange;
    return this.#receipt({ id: hex(exchange.statement.receiptId), file, result, expected, private: parts });
  }

  #receipt(facts: ReceiptFacts): Receipt {
    return new Receipt(facts, (receipt, { timeoutMs = this.#policy.maxWaitSeconds * 1000, signal }) =>
      // A question that is asked at the last moment has a moment to be answered.
      withCall({ timeoutMs: timeoutMs + LONGEST_PAUSE_MS, ...(signal && { signal }) }, (call) =>
        this.hardwareCommitted(receipt, call, timeoutMs),
      ),
    );
  }

  /** @throws ClientError RECEIPT_PENDING after `withinMs`, RECEIPT_NEVER_COMMITTED, SESSION_FORKED, or the first finding's code */
  async hardwareCommitted(receipt: Receipt, call: Call, withinMs: number): Promise<Receipt> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      const answer = await this.#service.call(`/receipts/${receipt.id}`, {}, call, MAX_FILE_BYTES);
      if (answer.status === 200) return call.wait(this.#committed(receipt, answer));
      if (answer.status !== 202) throw hostError(answer);
      const pause = pauseOf(answer);
      if (performance.now() + pause > deadline) {
        throw new ClientError(
          'RECEIPT_PENDING',
          'no hardware report covered the answer in time; fetch the receipt later',
        );
      }
      await call.sleep(pause);
    }
  }

  async #committed(receipt: Receipt, { headers, body: file }: Answer): Promise<Receipt> {
    if (headers.get(HEADER.receiptStatus) === 'neverCommitted') {
      throw new ClientError('RECEIPT_NEVER_COMMITTED', 'the enclave ended before a hardware report covered the answer');
    }
    // Asked for by name here, whatever less the policy would take: a 200 is only the host's word.
    const policy = { ...this.#policy, strength: 'hardware-committed' } as const;
    if (!equalBytes(parseReceipt(file).statement, parseReceipt(receipt.file).statement)) {
      throw await this.#otherStatement(receipt, file, policy);
    }
    const { id, expected, private: parts } = receipt;
    const result = await this.#assess(file, 'receipt', policy, expected);
    if (result.verdict !== 'affirming' || result.kind !== 'receipt') throw refusal('receipt', result);
    return this.#receipt({ id, file, result, expected, private: parts });
  }

  /** Two verified statements of one session for one place in its log prove a fork; anything else is the host's doing. */
  async #otherStatement({ result: ours }: Receipt, file: Uint8Array, policy: AppraisalPolicy): Promise<ClientError> {
    const theirs = await this.#assess(file, 'receipt', { ...policy, freshness: 'not-required', models: 'any' }, {});
    if (theirs.verdict !== 'affirming' || theirs.kind !== 'receipt') return refusal('receipt', theirs);
    const forked =
      equalBytes(ours.session.digest, theirs.session.digest) && ours.statement.sequence === theirs.statement.sequence;
    return forked
      ? new ClientError('SESSION_FORKED', 'the log holds another statement in the place of the one that was answered', {
          field: 'statement',
        })
      : new ClientError('SERVICE_ANSWER_INVALID', 'the receipt of another answer', { field: 'statement' });
  }
}

function pauseOf({ headers }: Answer): number {
  const retryAfter = headers.get('retry-after') ?? '';
  const seconds = /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : 1;
  return Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, seconds * 250));
}
