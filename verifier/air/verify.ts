/** Layers 1 to 3 of the draft's procedure: envelope, signature under the caller's key, claims. */
import { type Ed25519Key, EvidenceError, ed25519Key, hex, verifyEd25519 } from '@veritee/protocol';
import { airFacts } from '../appraise/claims.ts';
import { CheckFailure, type CheckLog } from '../checks.ts';
import { type AirClaims, parseAirClaims, parseAirEnvelope } from './receipt.ts';

declare const verified: unique symbol; // not exported: minted by one cast, the last line of verifyAir
export type VerifiedAir = AirClaims & { readonly [verified]: true };

/** @throws EvidenceError EVIDENCE_MALFORMED, EVIDENCE_TOO_LARGE, EVIDENCE_UNSUPPORTED, ENDORSEMENT_MISSING, SIGNATURE_INVALID */
export async function verifyAir(file: Uint8Array, key: Uint8Array | undefined, log: CheckLog): Promise<VerifiedAir> {
  const envelope = await log.step(
    'air.envelope',
    () => parseAirEnvelope(file),
    () => `${file.length} bytes`,
  );
  const signer = log.step('air.key', () => signerOf(key), hex);
  await log.step(
    'air.signature',
    async () => {
      if (await verifyEd25519(signer, envelope.toBeSigned, envelope.signature)) return;
      throw new CheckFailure('SIGNATURE_INVALID', 'a signature by the key given', 'another', {
        field: 'air.signature',
      });
    },
    () => 'signed by the key given',
  );
  const claims = log.step(
    'air.claims',
    () => parseAirClaims(envelope.payload),
    ({ measurementType, securityMode }) => `${measurementType}, ${securityMode}`,
  );
  log.establish({ claims: airFacts(claims, signer) });
  return claims as VerifiedAir;
}

function signerOf(key: Uint8Array | undefined): Ed25519Key {
  const field = 'expected.airKey';
  if (key === undefined) {
    const expected = 'the key that signed it: an AIR receipt carries none';
    throw new CheckFailure('ENDORSEMENT_MISSING', expected, 'no key', { field });
  }
  try {
    return ed25519Key(key, field);
  } catch (cause) {
    if (!(cause instanceof EvidenceError)) throw cause;
    // Under a key of small order, signatures verify that nobody made.
    throw new CheckFailure('SIGNATURE_INVALID', 'an Ed25519 key of prime order', hex(key), { field, cause });
  }
}
