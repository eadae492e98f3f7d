import { CodedError, parseJson } from '@veritee/protocol';
import type { AppraisalPolicy } from './policy.ts';
import { Item } from './policy-fields.ts';
import { parsePolicy } from './policy-parse.ts';

/**
 * Read a policy file: UTF-8 JSON in which no object names a member twice.
 *
 * @throws CodedError POLICY_INVALID
 */
export const readPolicy = (file: Uint8Array): AppraisalPolicy => parsePolicy(readPolicyJson(file, 'policy').value);

/** For files that are written like policies. @throws CodedError POLICY_INVALID */
export function readPolicyJson(file: Uint8Array, what: string): Item {
  try {
    return new Item(parseJson(file, what), what);
  } catch (cause) {
    if (!(cause instanceof CodedError)) throw cause;
    throw new CodedError('POLICY_INVALID', cause.message, { field: cause.field ?? what, cause });
  }
}
