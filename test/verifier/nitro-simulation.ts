import { randomBytes } from 'node:crypto';
import { encodeCbor } from '@veritee/protocol';
import { type CertificateSpec, criticalExtension, type Extension } from '../../attestation-fixtures/certificate.ts';
import { bitString } from '../../attestation-fixtures/der.ts';
import type { Entry } from '../../attestation-fixtures/nitro/cbor.ts';
import type { DocumentFields } from '../../attestation-fixtures/nitro/document.ts';
import {
  type SimulatedNitroEvidenceRequest,
  sharedNitroRoot,
  simulatedNitroEvidence,
} from '../../attestation-fixtures/nitro/evidence.ts';
import { nitroAnchorOf } from '../../verifier/nitro/root.ts';
import type { TrustAnchor } from '../../verifier/trust/anchor.ts';
import { attemptNitro } from './nitro-support.ts';

export const AT = new Date('2026-01-15T12:00:00.250Z');
export const HOUR = 3_600_000;
export const userData = new Uint8Array(randomBytes(64));
export const publicKey = new Uint8Array(randomBytes(32));
export const bytesOf = (length: number): Uint8Array<ArrayBuffer> => new Uint8Array(length).fill(7);

export const make = (request: Partial<SimulatedNitroEvidenceRequest> = {}) =>
  simulatedNitroEvidence({ userData, publicKey, at: AT, ...request });

/** This process's own root, and nothing else. */
export const anchors: readonly TrustAnchor[] = [await nitroAnchorOf(sharedNitroRoot().certificate, 'root')];

export const trying = (request: Partial<SimulatedNitroEvidenceRequest> = {}, at: Date | 'document-time' = AT) =>
  attemptNitro(make(request).document, anchors, at);

export const fields =
  (change: Partial<DocumentFields>) =>
  (good: DocumentFields): DocumentFields => ({ ...good, ...change });
export const spec =
  (change: Partial<CertificateSpec>) =>
  (good: CertificateSpec): CertificateSpec => ({ ...good, ...change });
export const withExtension =
  (one: Extension) =>
  (good: CertificateSpec): CertificateSpec => ({
    ...good,
    extensions: [...good.extensions.filter(({ oid }) => oid !== one.oid), one],
  });
export const withoutExtension =
  (id: string) =>
  (good: CertificateSpec): CertificateSpec => ({
    ...good,
    extensions: good.extensions.filter(({ oid }) => oid !== id),
  });
const nameOf = ([key]: Entry): string => new TextDecoder().decode(key.subarray(1));
/** Replaces the value of one field of the payload, or drops the field. */
export const entry =
  (name: string, value: Uint8Array | null) =>
  (good: readonly Entry[]): readonly Entry[] =>
    good.flatMap((one): readonly Entry[] => (nameOf(one) !== name ? [one] : value ? [[one[0], value]] : []));
export const added =
  (name: string, value: Uint8Array) =>
  (good: readonly Entry[]): readonly Entry[] => [...good, [encodeCbor(name), value]];

export const BASIC_CONSTRAINTS = '2.5.29.19';
export const KEY_USAGE = '2.5.29.15';
export const usage = (bits: number, unused = 1): Extension =>
  criticalExtension(KEY_USAGE, bitString(Uint8Array.of(bits), unused));
