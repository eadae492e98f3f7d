import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { type Issuer, publicKeyOf } from '../certificate.ts';
import type { Der } from '../der.ts';
import { arkSpec, askSpec, issueCertificate, issueCrl, pssAlgorithm } from './certificates.ts';
import type { Product } from './products.ts';

/** What AMD keeps in its vault, here thrown about freely: the root and the intermediate of one product line. */
export interface SimulatedAuthority {
  readonly product: Product;
  readonly ark: Issuer;
  readonly ask: Issuer;
}

export type KeyProgress = (event: { readonly made: 'ARK' | 'ASK' | 'VCEK'; readonly elapsedMs: number }) => void;

const generate = promisify(generateKeyPair);

async function rsaKey(made: 'ARK' | 'ASK', onProgress?: KeyProgress): Promise<KeyObject> {
  const started = performance.now();
  const { privateKey } = await generate('rsa', { modulusLength: 4096, publicExponent: 0x10001 });
  onProgress?.({ made, elapsedMs: performance.now() - started });
  return privateKey;
}

export async function generateVcekKey(onProgress?: KeyProgress): Promise<KeyObject> {
  const started = performance.now();
  const { privateKey } = await generate('ec', { namedCurve: 'P-384' });
  onProgress?.({ made: 'VCEK', elapsedMs: performance.now() - started });
  return privateKey;
}

/** Makes both RSA-4096 keys at once, in the thread pool: seconds, and more on a busy machine. */
export async function createAuthority(product: Product, onProgress?: KeyProgress): Promise<SimulatedAuthority> {
  const [arkKey, askKey] = await Promise.all([rsaKey('ARK', onProgress), rsaKey('ASK', onProgress)]);
  const ark = issueCertificate(arkSpec(product, publicKeyOf(arkKey)), arkKey);
  const ask = issueCertificate(askSpec(product, publicKeyOf(askKey), publicKeyOf(arkKey)), arkKey);
  return { product, ark: { privateKey: arkKey, certificate: ark }, ask: { privateKey: askKey, certificate: ask } };
}

export interface CrlContent {
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly number?: bigint;
  readonly revoked?: readonly { readonly serial: bigint; readonly date: Date }[];
}

/** A DER CRL of that product line, signed by the ARK. */
export const makeCrl = ({ product, ark }: SimulatedAuthority, content: CrlContent): Der =>
  issueCrl(
    {
      product,
      issuerPublicKey: publicKeyOf(ark.privateKey),
      number: content.number ?? 1n,
      thisUpdate: content.thisUpdate,
      nextUpdate: content.nextUpdate,
      revoked: content.revoked ?? [],
      signatureAlgorithm: pssAlgorithm('default'),
    },
    ark.privateKey,
  );
