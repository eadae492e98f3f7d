import {
  type Attestation,
  attestationToJson,
  type Bytes,
  bytes,
  encodeAttestation,
  fromHex,
  MAX_NONCE_BYTES,
  MEDIA_TYPE,
  MIN_NONCE_BYTES,
  type ProvenEntry,
  ServiceError,
} from '@veritee/protocol';
import type { Request, RequestHandler } from 'express';
import type { EnclaveLink } from '../enclave-link.ts';
import { keysInForce, keysNamed, type OfferedKey } from '../sealing-keys.ts';
import type { Store, StoredEvidence } from '../store/store.ts';
import { patience, sendBytes, sendJson, wantsJson } from './request.ts';

export interface AttestationParts {
  readonly link: EnclaveLink;
  readonly store: Store;
  readonly challengeTimeoutMs: number;
  readonly maxWaiting: number;
}

/** `GET /attestation[?nonce=HEX]`: the latest evidence, or the one of the tick that took in the caller's nonce. */
export function attestationRoute(parts: AttestationParts): RequestHandler {
  let waiting = 0;
  return async (req, res) => {
    const nonce = nonceOf(req);
    if (nonce && waiting >= parts.maxWaiting) {
      throw new ServiceError('QUEUE_FULL', `${waiting} challenges wait for the next report; try again shortly`);
    }
    const { signal, done } = patience(res, parts.challengeTimeoutMs);
    waiting += 1;
    try {
      const attestation = nonce ? await challenged(parts, nonce, signal) : await latest(parts);
      if (wantsJson(req, res, MEDIA_TYPE.attestation)) sendJson(res, attestationToJson(attestation));
      else sendBytes(res, MEDIA_TYPE.attestation, encodeAttestation(attestation), 'no-store');
    } finally {
      waiting -= 1;
      done();
    }
  };
}

function nonceOf(req: Request): Uint8Array | null {
  const text = req.query['nonce'];
  if (text === undefined) return null;
  const nonce = typeof text === 'string' ? fromHex(text) : null;
  if (nonce && nonce.length >= MIN_NONCE_BYTES && nonce.length <= MAX_NONCE_BYTES) return nonce;
  throw new ServiceError('NONCE_INVALID', `nonce: want ${MIN_NONCE_BYTES} to ${MAX_NONCE_BYTES} bytes in hex, once`, {
    field: 'nonce',
  });
}

async function latest({ link, store }: AttestationParts): Promise<Attestation> {
  const evidence = link.boot === null ? null : await store.latestEvidence(link.boot);
  if (!evidence)
    throw new ServiceError('EVIDENCE_NOT_READY', 'the enclave has no hardware report yet; try again shortly');
  return { evidence: evidence.file, keys: entries(await keysInForce(store, evidence, Date.now())), challenge: null };
}

async function challenged(
  { link, store }: AttestationParts,
  nonce: Uint8Array,
  signal: AbortSignal,
): Promise<Attestation> {
  const refusal = link.refusal();
  if (refusal && refusal.code !== 'EVIDENCE_NOT_READY') throw refusal; // the tick asked for will bring the evidence
  const { entry, nonceIndex, noncePath, reportData } = await link.challenge(nonce, signal);
  const evidence = await link.evidence(reportData, signal);
  return {
    evidence: evidence.file,
    keys: entries(await keysNamed(store, evidence, entry)),
    challenge: {
      ...(await proven(store, evidence, entry)),
      nonce: new Uint8Array(nonce),
      nonceIndex,
      noncePath: noncePath.map((hash): Bytes<32> => bytes(fromHex(hash) ?? new Uint8Array(0), 32, 'noncePath')),
    },
  };
}

async function proven(store: Store, { boot, size }: StoredEvidence, index: number): Promise<ProvenEntry> {
  const [entry] = await store.entries(boot, index, index + 1);
  if (!entry || index >= size) throw new ServiceError('INTERNAL', `entry ${index} is not under this evidence`);
  return { entry, path: await store.inclusionPath(boot, index, size) };
}

const entries = (keys: readonly OfferedKey[]): ProvenEntry[] => keys.map(({ entry, path }) => ({ entry, path }));
