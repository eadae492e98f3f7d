import { CheckFailure } from '../checks.ts';

export interface Validity {
  readonly name: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Both ends belong to the validity (RFC 5280 §4.1.2.5). @throws EvidenceError CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID */
export function checkValidity(chain: readonly Validity[], at: Date): void {
  for (const { name, notBefore, notAfter } of chain) {
    if (at >= notBefore && at <= notAfter) continue;
    const expected = `${name} valid at ${at.toISOString()}`;
    if (at < notBefore) {
      const actual = `valid from ${notBefore.toISOString()}`;
      throw new CheckFailure('CERTIFICATE_NOT_YET_VALID', expected, actual, { field: name });
    }
    throw new CheckFailure('CERTIFICATE_EXPIRED', expected, `valid until ${notAfter.toISOString()}`, { field: name });
  }
}
