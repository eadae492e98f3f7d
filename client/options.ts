import type { AppraisalPolicy, TrustAnchor } from '@veritee/verifier';
import type { CallOptions } from './call.ts';
import type { Receipt } from './receipt.ts';
import type { Fetch } from './service.ts';

export interface ClientOptions {
  readonly url: string;
  readonly policy: AppraisalPolicy;
  /** Added to the policy's own anchors. */
  readonly trustAnchors?: readonly TrustAnchor[];
  /** Pads sealed requests and answers to a multiple of so many bytes, 1 to 65,536, so that their lengths say less. */
  readonly padding?: number;
  /** A longer answer is refused; default 256 MiB. */
  readonly maxAnswerBytes?: number;
  /** Sends everything in the clear, which the host can read. */
  readonly allowPlaintext?: boolean;
  /** Given every receipt before its answer is handed out, which waits for it; where this throws, the call fails. */
  readonly onReceipt?: OnReceipt;
  /** The instant certificates are judged at; default: this machine's clock. */
  readonly now?: () => Date;
  readonly fetch?: Fetch;
}

export type OnReceipt = (receipt: Receipt) => void | Promise<void>;

export interface AnswerOptions extends CallOptions {
  /** Wait for the hardware report that covers the answer. A policy that asks for one is obeyed without this. */
  readonly waitFor?: 'hardware';
  /** In place of the client's own. */
  readonly onReceipt?: OnReceipt;
}

export interface InferOptions extends AnswerOptions {
  readonly id?: string;
  /** Ask for these outputs only. */
  readonly outputs?: readonly string[];
  /** Binary tensors both ways; default false (JSON). */
  readonly binary?: boolean;
}
