import { ClientError } from '@veritee/client';
import { CODES, type Code, CodedError, type CodeFacts } from '@veritee/protocol';
import type { AttestationResult } from '@veritee/verifier';

/** Exit statuses of the `veritee` command (design §6). */
export const EXIT = { done: 0, contraindicated: 1, usage: 2, unreachable: 3, unsupported: 4, defect: 70 } as const;

export const exitOfVerdict = (verdict: AttestationResult['verdict']): number =>
  ({ affirming: EXIT.done, contraindicated: EXIT.contraindicated, unsupported: EXIT.unsupported })[verdict];

/** A mistake in the caller's own flags and files, whatever stage its code usually belongs to. */
export class InputError extends CodedError {
  override readonly name = 'InputError';
}

/** A service that cannot be had at the moment. */
const UNREACHABLE: ReadonlySet<Code> = new Set([
  'SERVICE_UNREACHABLE',
  'DEADLINE_EXCEEDED',
  'ENCLAVE_UNREACHABLE',
  'ENCLAVE_STOPPING',
  'ENCLAVE_CHANGED',
  'EVIDENCE_NOT_READY',
  'KEY_NOT_COMMITTED',
  'SEALING_KEY_MISSING',
  'SEALING_KEY_UNKNOWN',
  'QUEUE_FULL',
  'LOG_BACKLOG_FULL',
  'CHALLENGES_FULL',
  'STORE_FULL',
  'STORE_FAILED',
  'RECEIPT_PENDING',
  'INTERNAL', // the service's own word for its failure; ours is no ClientError
]);

/** Stages at which our own service or a caller's file refuses to begin; what evidence and requests fail is a refusal. */
const NOT_BEGUN: ReadonlySet<CodeFacts['stage']> = new Set(['usage', 'platform', 'model', 'relay']);

/** The exit status of an error that ended a command. */
export function exitOfError(error: unknown): number {
  if (error instanceof InputError) return EXIT.usage;
  if (error instanceof ClientError) return exitOfClientError(error);
  if (!(error instanceof CodedError) || error.code === 'INTERNAL') return EXIT.defect;
  if (error.code === 'EVIDENCE_UNSUPPORTED') return EXIT.unsupported;
  return NOT_BEGUN.has(CODES[error.code].stage) ? EXIT.usage : EXIT.contraindicated;
}

/** What a service refused is not its caller's usage, even where the code reads alike. */
function exitOfClientError({ code, result }: ClientError): number {
  if (result) return result.verdict === 'unsupported' ? EXIT.unsupported : EXIT.contraindicated;
  if (code === 'USAGE') return EXIT.usage;
  return UNREACHABLE.has(code) ? EXIT.unreachable : EXIT.contraindicated;
}
