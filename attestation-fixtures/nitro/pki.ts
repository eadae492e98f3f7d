import { generateKeyPairSync, type KeyObject, randomBytes, randomUUID } from 'node:crypto';
import { hex } from '@veritee/protocol';
import { type CertificateSpec, type Issuer, publicKeyOf } from '../certificate.ts';
import {
  type CertificateFacts,
  instanceSpec,
  issueNitroCertificate,
  leafSerial,
  leafSpec,
  type NitroIdentity,
  type NitroLevel,
  regionalSpec,
  rootSpec,
  zonalSpec,
} from './certificates.ts';

/** A certificate with its key, what it was made from, and the certificates above it. */
export interface Issued extends Issuer {
  readonly spec: CertificateSpec;
  /** DER, root first, the issuer last. */
  readonly cabundle: readonly Uint8Array[];
}

type LevelBelowRoot = Exclude<NitroLevel, 'root'>;

interface LevelProfile {
  readonly issuer: NitroLevel;
  /** From the moment of issue. */
  readonly lifeMs: number;
  /** How long before the moment of issue the validity begins. */
  readonly backdateMs: number;
  readonly spec: (facts: CertificateFacts, identity: NitroIdentity, issuer: CertificateSpec) => CertificateSpec;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Whole lives as measured; AWS makes the intermediates some time before it needs them. */
const PROFILE: Readonly<Record<LevelBelowRoot, LevelProfile>> = {
  regional: { issuer: 'root', lifeMs: 480 * HOUR, backdateMs: HOUR, spec: regionalSpec },
  zonal: { issuer: 'regional', lifeMs: 139 * HOUR, backdateMs: HOUR, spec: zonalSpec },
  instance: { issuer: 'zonal', lifeMs: 23 * HOUR, backdateMs: HOUR, spec: instanceSpec },
  leaf: { issuer: 'instance', lifeMs: 3 * HOUR, backdateMs: 3 * SECOND, spec: leafSpec },
};

/** Documents were seen up to 138 minutes after the start of their leaf, never later. */
const LEAF_RENEWED_BEFORE_END_MS = 3 * HOUR - 138 * MINUTE;

export const generateNitroKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;

/** A root of the same names, serial number and dates as AWS's, under a key of our own. */
export function createNitroRoot(privateKey: KeyObject = generateNitroKey()): Issuer {
  return { privateKey, certificate: issueNitroCertificate(rootSpec(publicKeyOf(privateKey)), privateKey) };
}

export const randomInstanceId = (): string => `i-0${randomBytes(8).toString('hex')}`;

/** The names of an enclave launched now on that instance. */
export function launchIdentity(region: string, instanceId: string, now: Date): NitroIdentity {
  const launch = now.getTime().toString(16).padStart(12, '0');
  return {
    region,
    instanceId,
    regionalId: hex(randomBytes(8)),
    zonalId: hex(randomBytes(8)),
    zonalCrl: randomUUID(),
    enclaveId: `${launch}${hex(randomBytes(2))}`,
  };
}

const SERIAL_BYTES = { regional: 16, zonal: 16, instance: 20 } as const;

function serialOf(level: LevelBelowRoot, identity: NitroIdentity, issued: Date): bigint {
  if (level === 'leaf') return leafSerial(identity, issued);
  return BigInt(`0x${hex(randomBytes(SERIAL_BYTES[level]))}`) | 1n; // never zero
}

export function certificateFacts(
  level: LevelBelowRoot,
  identity: NitroIdentity,
  issued: Date,
  publicKey: Uint8Array,
): CertificateFacts {
  const { lifeMs, backdateMs } = PROFILE[level];
  const second = Math.floor(issued.getTime() / SECOND) * SECOND;
  return {
    serial: serialOf(level, identity, issued),
    notBefore: new Date(second - backdateMs),
    notAfter: new Date(second + lifeMs),
    publicKey,
  };
}

export const specOf = (
  level: LevelBelowRoot,
  facts: CertificateFacts,
  identity: NitroIdentity,
  issuer: CertificateSpec,
): CertificateSpec => PROFILE[level].spec(facts, identity, issuer);

/** Signs the certificate with the key above it. */
export const issueUnder = (above: Issued, spec: CertificateSpec, privateKey: KeyObject): Issued => ({
  privateKey,
  spec,
  certificate: issueNitroCertificate(spec, above.privateKey),
  cabundle: [...above.cabundle, above.certificate],
});

/**
 * The chain under one root, made anew as it expires, each certificate with a new key. None outlives its issuer: an issuer
 * whose remaining life is shorter than what it has to sign is renewed first.
 */
export class SimulatedNitroPki {
  readonly #root: Issued;
  readonly #identity: NitroIdentity;
  readonly #current = new Map<LevelBelowRoot, Issued>();

  constructor(root: Issuer, identity: NitroIdentity) {
    this.#root = { ...root, spec: rootSpec(publicKeyOf(root.privateKey)), cabundle: [] };
    this.#identity = identity;
  }

  /** The leaf whose key signs documents now. */
  leaf(now: Date): Issued {
    return this.#valid('leaf', now, now.getTime() + LEAF_RENEWED_BEFORE_END_MS);
  }

  #valid(level: LevelBelowRoot, now: Date, until: number): Issued {
    const held = this.#current.get(level);
    if (held && held.spec.notBefore <= now && held.spec.notAfter.getTime() >= until) return held;
    const { issuer } = PROFILE[level];
    const privateKey = generateNitroKey();
    const facts = certificateFacts(level, this.#identity, now, publicKeyOf(privateKey));
    const above = issuer === 'root' ? this.#root : this.#valid(issuer, now, facts.notAfter.getTime());
    const made = issueUnder(above, specOf(level, facts, this.#identity, above.spec), privateKey);
    this.#current.set(level, made);
    return made;
  }
}
