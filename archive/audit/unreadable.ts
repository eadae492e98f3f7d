import { CodedError, EvidenceError } from '@veritee/protocol';

/**
 * Whether an error says that a stored row cannot be read back, which is a finding and no failure of the audit: the
 * database refuses, or a column does not hold what it is for.
 */
export const isUnreadable = (error: unknown): error is Error =>
  (error instanceof CodedError && error.code === 'STORE_FAILED') ||
  error instanceof EvidenceError ||
  error instanceof SyntaxError ||
  error instanceof TypeError || // a column that holds another type, or nothing
  error instanceof RangeError ||
  (error as NodeJS.ErrnoException).code?.startsWith('Z_') === true;
