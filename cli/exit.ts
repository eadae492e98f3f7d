import { CODES, type Code, CodedError } from '@veritee/protocol';
import type { AttestationResult } from '@veritee/verifier';

/** Exit statuses of the `veritee` command (design §6). */
export const EXIT = { done: 0, contraindicated: 1, usage: 2, unreachable: 3, unsupported: 4, defect: 70 } as const;

export const exitOfVerdict = (verdict: AttestationResult['verdict']): number =>
  ({ affirming: EXIT.done, contraindicated: EXIT.contraindicated, unsupported: EXIT.unsupported })[verdict];

const UNREACHABLE: ReadonlySet<Code> = new Set([
  'SERVICE_UNREACHABLE',
  'DEADLINE_EXCEEDED',
  'ENCLAVE_UNREACHABLE',
  'ENCLAVE_STOPPING',
  'ENCLAVE_CHANGED',
  'EVIDENCE_NOT_READY',
  'QUEUE_FULL',
  'LOG_BACKLOG_FULL',
  'CHALLENGES_FULL',
  'STORE_FULL',
  'STORE_FAILED',
  'RECEIPT_PENDING',
]);

/** The exit status of an error that ended a command. */
export function exitOfError(error: unknown): number {
  if (!(error instanceof CodedError)) return EXIT.defect;
  if (UNREACHABLE.has(error.code)) return EXIT.unreachable;
  if (error.code === 'INTERNAL') return EXIT.defect;
  if (error.code === 'EVIDENCE_UNSUPPORTED') return EXIT.unsupported;
  const { stage } = CODES[error.code];
  const ours: ReadonlySet<Code> = new Set([
    'DATA_FOLDER_IN_USE',
    'DATA_FOLDER_UNUSABLE',
    'PORT_IN_USE',
    'LISTEN_FAILED',
    'STORE_NEWER',
  ]);
  return stage === 'usage' || stage === 'platform' || stage === 'model' || ours.has(error.code)
    ? EXIT.usage
    : EXIT.contraindicated;
}
