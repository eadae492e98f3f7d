import { type AttestationResult, signEar, toEar } from '@veritee/verifier';
import { earKeyRefused, readEarKey, readEarProfile, usage } from './inputs.ts';
import packageJson from './package.json' with { type: 'json' };

/** This build, as results name it. */
export const PRODUCER = `veritee ${packageJson.version}`;
const VERIFIER_ID = { developer: 'https://veritee.dev', build: PRODUCER };

export interface EarFlags {
  readonly ear?: string;
  readonly earKey?: string;
}

export type EarSigner = (result: AttestationResult, nonce: Uint8Array | undefined) => Promise<string>;

/** Reads both flags before anything is verified; null when neither is given. */
export async function readEarFlags({ ear, earKey }: EarFlags): Promise<EarSigner | null> {
  if (ear === undefined && earKey === undefined) return null;
  if (ear === undefined || earKey === undefined) throw usage('ear', 'both --ear and --ear-key, or neither');
  const profile = readEarProfile(ear);
  const { key, alg } = await readEarKey(earKey);
  return async (result, nonce) => {
    // Issued now, whatever time was verified at: a token is never back-dated.
    const claims = toEar(result, { profile, verifierId: VERIFIER_ID, iat: new Date(), ...(nonce && { nonce }) });
    try {
      return await signEar(claims, key, alg);
    } catch (error) {
      if (error instanceof TypeError) throw earKeyRefused();
      throw error;
    }
  };
}
