import type { KeyObject } from 'node:crypto';
import { type Bytes, bytes, utf8 } from '@veritee/protocol';
import { type CertificateSpec, type Issuer, publicKeyOf } from '../certificate.ts';
import type { Der } from '../der.ts';
import { type Entry, encodeMap } from './cbor.ts';
import { issueNitroCertificate, moduleIdOf, type NitroIdentity, type NitroLevel, rootSpec } from './certificates.ts';
import {
  CURRENT_ENCODING,
  type DocumentEncoding,
  type DocumentFields,
  type DocumentParts,
  encodeParts,
  payloadEntries,
  signParts,
  type UnsignedParts,
  unsignedParts,
} from './document.ts';
import { PLATFORM_PCRS, pcrOf } from './pcrs.ts';
import { certificateFacts, createNitroRoot, generateNitroKey, type Issued, issueUnder, specOf } from './pki.ts';

type Change<T> = (good: T) => T;

export interface SimulatedNitroEvidenceRequest {
  readonly userData: Uint8Array | null;
  readonly publicKey: Uint8Array | null;
  readonly nonce?: Uint8Array | null;
  /** In place of single registers of `SIMULATED_PCRS`. */
  readonly pcrs?: ReadonlyMap<number, Uint8Array>;
  /** The document's time; fixed unless given, so that a test's own dates stay valid. */
  readonly at?: Date;
  readonly encoding?: Partial<DocumentEncoding>;
  readonly identity?: NitroIdentity;
  /** Another root than the one this process shares. */
  readonly root?: Issuer;
  /** In place of this process's own keys; a certificate then certifies that key and is what it signs with. */
  readonly keys?: Partial<Record<Exclude<NitroLevel, 'root'>, KeyObject>>;
  /** Each changes one certificate, which is then signed by the key above it; those below follow its name and key. */
  readonly mutateCertificates?: Partial<Record<NitroLevel, Change<CertificateSpec>>>;
  /** These change what is signed, from the fields down to the bytes; the signature is made afterwards. */
  readonly mutate?: Change<DocumentFields>;
  readonly mutateEntries?: Change<readonly Entry[]>;
  readonly mutateSigned?: Change<UnsignedParts>;
  /** Signs the document instead of the leaf's key. */
  readonly signWith?: KeyObject;
  /** After signing, and not signed again. */
  readonly mutateParts?: Change<DocumentParts>;
}

export interface SimulatedNitroEvidence {
  readonly document: Uint8Array<ArrayBuffer>;
  /** The certificate to trust, DER; also the first of the bundle. */
  readonly root: Der;
  readonly fields: DocumentFields;
  readonly parts: DocumentParts;
  /** Certificates with their keys, so that a test can issue more. */
  readonly issued: Readonly<Record<NitroLevel, Issued>>;
}

const LEVELS = ['regional', 'zonal', 'instance', 'leaf'] as const;
const LEAF_AGE_MS = 600_000;

const identity: NitroIdentity = {
  region: 'us-east-1',
  regionalId: '84dde1b34e42ca38',
  zonalId: '159cc35c5cd76fb7',
  zonalCrl: 'f3e8f31a-4ead-4f8d-84bf-838926efc872',
  instanceId: 'i-0a1b2c3d4e5f60718',
  enclaveId: '019bbf0e4a00d1ce',
};

/** Values of a launched, unsigned enclave without a role: 0, 1, 2 and 4 are set, all others to 15 are zero. */
export const SIMULATED_PCRS: ReadonlyMap<number, Bytes<48>> = new Map(
  Array.from({ length: PLATFORM_PCRS }, (_, index) => {
    const content = [0, 1, 2].includes(index) ? `simulated PCR${index}` : index === 4 ? identity.instanceId : null;
    return [index, content === null ? bytes(new Uint8Array(48), 48, 'PCR') : pcrOf(utf8(content))];
  }),
);

let sharedRoot: Issuer | undefined;

/** One root a process, so that a test names one anchor. */
export function sharedNitroRoot(): Issuer {
  sharedRoot ??= createNitroRoot();
  return sharedRoot;
}

const sharedKeys = new Map<NitroLevel, KeyObject>();
/** Certificates under the shared root, as long as nothing from the root down to them was asked to be different. */
const sharedChain = new Map<NitroLevel, Issued>();

function sharedKey(level: NitroLevel): KeyObject {
  const known = sharedKeys.get(level);
  if (known) return known;
  const made = generateNitroKey();
  sharedKeys.set(level, made);
  return made;
}

function issueRoot({ root, mutateCertificates }: SimulatedNitroEvidenceRequest): Issued {
  const { privateKey, certificate } = root ?? sharedNitroRoot();
  const good = rootSpec(publicKeyOf(privateKey));
  const spec = mutateCertificates?.root?.(good);
  if (!spec) return { privateKey, certificate, spec: good, cabundle: [] };
  return { privateKey, certificate: issueNitroCertificate(spec, privateKey), spec, cabundle: [] };
}

/** A document with its root, good unless a change is asked for. One P-384 signature, and one for each certificate made anew. */
export function simulatedNitroEvidence(request: SimulatedNitroEvidenceRequest): SimulatedNitroEvidence {
  const at = request.at ?? new Date('2026-01-15T12:00:00.250Z');
  const names = request.identity ?? identity;
  const issuedAt = new Date(at.getTime() - LEAF_AGE_MS);

  const root = issueRoot(request);
  const issued: Record<NitroLevel, Issued> = { root, regional: root, zonal: root, instance: root, leaf: root };
  let above = root;
  let asShared = !(request.root || request.at || request.identity || request.mutateCertificates?.root);
  for (const level of LEVELS) {
    const key = request.keys?.[level];
    const mutate = request.mutateCertificates?.[level];
    asShared &&= !key && !mutate;
    const known = asShared ? sharedChain.get(level) : undefined;
    if (known) {
      above = known;
    } else {
      const privateKey = key ?? sharedKey(level);
      const good = specOf(level, certificateFacts(level, names, issuedAt, publicKeyOf(privateKey)), names, above.spec);
      above = issueUnder(above, mutate?.(good) ?? good, privateKey);
    }
    if (asShared) sharedChain.set(level, above);
    issued[level] = above;
  }
  const { leaf } = issued;

  const encoding: DocumentEncoding = { ...CURRENT_ENCODING, ...request.encoding };
  const good: DocumentFields = {
    moduleId: moduleIdOf(names),
    digest: 'SHA384',
    timestamp: at.getTime(),
    pcrs: new Map([...SIMULATED_PCRS, ...(request.pcrs ?? [])].sort(([a], [b]) => a - b)),
    certificate: leaf.certificate,
    cabundle: leaf.cabundle,
    publicKey: request.publicKey,
    userData: request.userData,
    nonce: request.nonce ?? null,
  };
  const fields = request.mutate?.(good) ?? good;
  const entries = payloadEntries(fields, encoding);
  const unsigned = unsignedParts(encodeMap(request.mutateEntries?.(entries) ?? entries, encoding.payloadMap));
  const signed = signParts(request.mutateSigned?.(unsigned) ?? unsigned, request.signWith ?? leaf.privateKey);
  const parts = request.mutateParts?.(signed) ?? signed;
  return { document: encodeParts(parts, encoding.tag), root: root.certificate, fields, parts, issued };
}
