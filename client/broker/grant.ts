/** What an attestation has earned: the TEE key that keys are encrypted to, and what each policy made of the evidence. */
import { type Code, type KbsTee, ServiceError, type TeeKey } from '@veritee/protocol';
import { type CryptoKey, errors, jwtVerify, SignJWT } from 'jose';

/** One failed check, without the values on either side. */
export interface BrokerFinding {
  /** The policy's id. */
  readonly policy: string;
  readonly code: Code;
  readonly claim: string;
}

export interface Grant {
  readonly tee: KbsTee;
  readonly teeKey: TeeKey;
  /** Digests of the policies that affirmed the evidence. */
  readonly policies: ReadonlySet<string>;
  readonly findings: readonly BrokerFinding[];
}

/** An ES256 key pair, for the broker's own tokens. */
export interface TokenKey {
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
}

const ALG = 'ES256';

/** A JWT that stands for the grant while it lasts: whoever shows it gets keys that only the TEE key can open. */
export class Tokens {
  readonly #key: TokenKey;
  readonly #issuer: string;
  readonly #lifeSeconds: number;

  constructor(key: TokenKey, issuer: string, lifeMs: number) {
    this.#key = key;
    this.#issuer = issuer;
    this.#lifeSeconds = Math.floor(lifeMs / 1000);
  }

  sign({ tee, teeKey, policies }: Grant, now: Date): Promise<string> {
    const issuedAt = Math.floor(now.getTime() / 1000);
    return new SignJWT({ tee, 'tee-pubkey': teeKey, cnf: { jwk: teeKey }, policies: [...policies] })
      .setProtectedHeader({ alg: ALG, typ: 'JWT' })
      .setIssuer(this.#issuer)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + this.#lifeSeconds)
      .sign(this.#key.privateKey);
  }

  /** @throws ServiceError BROKER_SESSION_UNKNOWN not a token of ours, or no longer valid */
  async verify(token: string, now: Date): Promise<Grant> {
    try {
      const { payload } = await jwtVerify(token, this.#key.publicKey, {
        algorithms: [ALG],
        issuer: this.#issuer,
        currentDate: now,
        requiredClaims: ['exp', 'tee', 'tee-pubkey', 'policies'],
      });
      // Signed by this broker, so of the shape that `sign` gives it.
      return {
        tee: payload['tee'] as KbsTee,
        teeKey: payload['tee-pubkey'] as TeeKey,
        policies: new Set(payload['policies'] as string[]),
        findings: [],
      };
    } catch (cause) {
      if (!(cause instanceof errors.JOSEError)) throw cause;
      throw new ServiceError('BROKER_SESSION_UNKNOWN', 'token: not valid here, or no longer', {
        field: 'authorization',
        cause,
      });
    }
  }
}
