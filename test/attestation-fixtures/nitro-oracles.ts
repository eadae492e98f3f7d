import { createHash, createPublicKey, verify, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { decode, Tag } from 'cbor2';
import type { DocumentFields } from '../../attestation-fixtures/nitro/document.ts';
import { hex } from '../../protocol/bytes.ts';
import { sharedFolder } from '../support/shared.ts';
import { type CertificateParts, certificateParts, values } from './oracles.ts';

// Second opinions for these tests, written apart from the code under test: cbor2 reads documents and messages, node:crypto
// and a walk over the DER read certificates.

/** What cbor2 makes of the bytes; maps as Map, so that the order of keys shows. */
export const foreign = (data: Uint8Array): unknown => decode(data, { preferMap: true });

export interface ReadDocument {
  readonly tagged: boolean;
  readonly protectedHeader: Uint8Array;
  readonly unprotectedHeader: unknown;
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
  readonly keys: readonly string[];
  readonly indefinite: boolean;
  readonly fields: DocumentFields;
}

export function readDocument(raw: Uint8Array): ReadDocument {
  const outer = foreign(raw);
  const tagged = outer instanceof Tag;
  const [protectedHeader, unprotectedHeader, payload, signature] = (outer instanceof Tag ? outer.contents : outer) as [
    Uint8Array,
    unknown,
    Uint8Array,
    Uint8Array,
  ];
  const map = foreign(payload) as Map<string, never>;
  const optional = (name: string): Uint8Array | null => map.get(name) ?? null;
  return {
    ...{ tagged, protectedHeader, unprotectedHeader, payload, signature },
    keys: [...map.keys()],
    indefinite: payload[0] === 0xbf,
    fields: {
      moduleId: map.get('module_id')!,
      digest: map.get('digest')!,
      timestamp: map.get('timestamp')!,
      pcrs: map.get('pcrs')!,
      certificate: map.get('certificate')!,
      cabundle: map.get('cabundle')!,
      publicKey: optional('public_key'),
      userData: optional('user_data'),
      nonce: optional('nonce'),
    },
  };
}

const head = (major: number, length: number): Buffer =>
  length < 24
    ? Buffer.of((major << 5) | length)
    : length < 256
      ? Buffer.of((major << 5) | 24, length)
      : Buffer.of((major << 5) | 25, length >> 8, length & 0xff);
const bstr = (data: Uint8Array): Buffer => Buffer.concat([head(2, data.length), data]);

export function signatureHolds({ protectedHeader, payload, signature, fields }: ReadDocument): boolean {
  const signed = Buffer.concat([
    Buffer.from('846a5369676e617475726531', 'hex'),
    ...[bstr(protectedHeader), bstr(new Uint8Array(0)), bstr(payload)],
  ]);
  const key = { key: new X509Certificate(fields.certificate).publicKey, dsaEncoding: 'ieee-p1363' } as const;
  return verify('sha384', signed, key, signature);
}

/** Root first, the leaf last. */
export const chainOf = ({ fields }: ReadDocument): readonly X509Certificate[] =>
  [...fields.cabundle, fields.certificate].map((der) => new X509Certificate(der));

/** Why the chain is not one that AWS's own rules accept at that time; null when it is. */
export function chainFault(document: ReadDocument, root: Uint8Array, at: Date): string | null {
  const chain = chainOf(document);
  if (chain.length !== 5) return `${chain.length} certificates`;
  if (!Buffer.from(root).equals(chain[0]!.raw)) return 'another root';
  for (const [i, certificate] of chain.entries()) {
    const issuer = chain[Math.max(0, i - 1)]!;
    if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) return `certificate ${i} by another`;
    if (certificate.ca !== i < 4) return `certificate ${i}: cA ${certificate.ca}`;
    if (at < new Date(certificate.validFrom) || at > new Date(certificate.validTo))
      return `certificate ${i} at ${at.toISOString()}`;
  }
  return null;
}

export interface RealDocument {
  readonly id: string;
  readonly raw: Uint8Array;
  readonly at: Date;
  readonly kind: string;
}

const folder = sharedFolder('evidence', 'nitro');

/** Genuine documents of enclaves, oldest first; none when the folder is absent. */
export const realDocuments: readonly RealDocument[] = folder === null ? [] : readReal(folder);

function readReal(from: string): readonly RealDocument[] {
  const { cases } = JSON.parse(readFileSync(path.join(from, 'index.json'), 'utf8')) as {
    cases: { id: string; dir: string; files: { document: string }; expected: string; kind: string; at: string }[];
  };
  return cases
    .filter(({ expected, kind }) => expected === 'valid' && kind === 'enclave')
    .map(({ id, dir, files, kind, at }) => ({
      ...{ id, kind, at: new Date(at) },
      raw: new Uint8Array(readFileSync(path.join(from, dir, files.document))),
    }))
    .sort((a, b) => a.at.getTime() - b.at.getTime());
}

/** Common name, and what else stands in the extensions of a chain's certificate. */
export interface RealCertificate extends CertificateParts {
  readonly commonName: string;
  readonly crl: string | null;
  readonly oids: readonly string[];
}

export function realCertificate(der: Uint8Array): RealCertificate {
  const parts = certificateParts(der);
  const names = values(values(parts.subject)[0]!.content).map((set) => values(values(set.content)[0]!.content));
  const cn = names.find(([type]) => hex(type!.content) === '550403')!;
  const crl = parts.extensions.find(({ oid }) => oid === '551d1f');
  return {
    ...parts,
    commonName: Buffer.from(cn[1]!.content).toString(),
    crl: crl ? (/http.*$/.exec(Buffer.from(crl.value).toString('latin1'))?.[0] ?? null) : null,
    oids: parts.extensions.map(({ oid }) => oid),
  };
}

/** SHA-1 of the public key's bit string, from node's own export. */
export function keyIdentifier(spki: Uint8Array): string {
  const jwk = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }).export({ format: 'jwk' });
  const point = Buffer.concat([Buffer.of(4), Buffer.from(jwk.x!, 'base64url'), Buffer.from(jwk.y!, 'base64url')]);
  return createHash('sha1').update(point).digest('hex');
}
