import { hex, utf8 } from '@veritee/protocol';
import type { AttestationResult, Expected } from '@veritee/verifier';
import type { CallOptions } from './call.ts';
import type { PrivateParts } from './exchange.ts';
import { type SaveTarget, save } from './save.ts';

/** One file of a kept receipt. */
export interface ReceiptPart {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** For the owner alone: salts, or the very content. */
  readonly private: boolean;
}

export interface ReceiptFacts {
  /** 32 lower-case hex digits. */
  readonly id: string;
  /** The portable file. */
  readonly file: Uint8Array<ArrayBuffer>;
  readonly result: Extract<AttestationResult, { verdict: 'affirming'; kind: 'receipt' }>;
  /** What any later verification of the same receipt has to agree with. */
  readonly expected: Expected;
  readonly private: PrivateParts;
}

/** Finds the receipt under a hardware report. */
export type Commit = (receipt: Receipt, options: CallOptions) => Promise<Receipt>;

/** Proof of one answer, verified when this object was made. */
export class Receipt implements ReceiptFacts {
  readonly id: string;
  readonly file: Uint8Array<ArrayBuffer>;
  readonly result: ReceiptFacts['result'];
  readonly expected: Expected;
  readonly private: PrivateParts;
  readonly #commit: Commit;

  constructor(facts: ReceiptFacts, commit: Commit) {
    this.id = facts.id;
    this.file = facts.file;
    this.result = facts.result;
    this.expected = facts.expected;
    this.private = facts.private;
    this.#commit = commit;
  }

  /**
   * Waits until the statement is under a hardware report; by default as long as the policy says.
   * @returns the receipt with that report
   * @throws ClientError RECEIPT_NEVER_COMMITTED its boot ended first; RECEIPT_PENDING not in time; SESSION_FORKED the session signed two statements for one place
   */
  async hardwareCommitted(options: CallOptions = {}): Promise<Receipt> {
    return this.result.strength === 'hardware-committed' ? this : this.#commit(this, options);
  }

  /** What keeps it, the portable file last: where that is, the rest is. */
  parts(name = `${this.id}.veritee`): readonly ReceiptPart[] {
    const { requestSalt, responseSalt, request, response } = this.private;
    const salts = { receiptId: this.id, requestSalt: hex(requestSalt), responseSalt: hex(responseSalt) };
    return [
      { name: `${name}.request`, bytes: request, private: true },
      { name: `${name}.response`, bytes: response, private: true },
      { name: `${name}.private.json`, bytes: utf8(`${JSON.stringify(salts, null, 2)}\n`), private: true },
      { name, bytes: this.file, private: false },
    ];
  }

  /**
   * @param target a folder's path (in Node), a folder's handle (in a browser), or what takes each part
   * @throws ClientError FILE_UNWRITABLE
   */
  async save(target: SaveTarget): Promise<void> {
    await save(this.parts(), target);
  }
}
