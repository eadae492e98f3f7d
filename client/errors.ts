import { type Code, CodedError } from '@veritee/protocol';
import type { AttestationResult } from '@veritee/verifier';

/** Why a call was not made or its answer not accepted. `result` holds the verifier's findings when it was a verdict. */
export class ClientError extends CodedError {
  override readonly name = 'ClientError';
  readonly result: AttestationResult | undefined;
  constructor(
    code: Code,
    message: string,
    options: ErrorOptions & { field?: string; result?: AttestationResult } = {},
  ) {
    super(code, message, options);
    this.result = options.result;
  }
}

/** A verdict that is not affirming, as an error: the first finding's code, all findings in `result`. */
export function refusal(what: string, result: AttestationResult): ClientError {
  const [first] = result.verdict === 'affirming' ? [] : result.findings;
  const code = first?.code ?? 'EVIDENCE_UNSUPPORTED';
  const reason = first
    ? `${first.claim}: expected ${first.expected}; got ${first.actual}`
    : 'not a kind this release reads';
  return new ClientError(code, `${what} refused: ${reason}`, { result });
}
