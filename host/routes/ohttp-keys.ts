import { encodeKeyConfigList, OHTTP_MEDIA, ServiceError } from '@veritee/protocol';
import type { RequestHandler } from 'express';
import type { EnclaveLink } from '../enclave-link.ts';
import { keysInForce } from '../sealing-keys.ts';
import type { Store } from '../store/store.ts';
import { sendBytes } from './request.ts';

/**
 * `GET /ohttp-keys`: the sealing keys in force, newest first (RFC 9458 §3.2). A hint: a key is to be taken from a
 * verified attestation alone.
 */
export function ohttpKeysRoute(link: EnclaveLink, store: Store): RequestHandler {
  return async (_req, res) => {
    const evidence = link.boot === null ? null : await store.latestEvidence(link.boot);
    const keys = evidence ? await keysInForce(store, evidence, Date.now()) : [];
    if (keys.length === 0) {
      throw new ServiceError('KEY_NOT_COMMITTED', 'no sealing key is under a hardware report; try again shortly');
    }
    sendBytes(res, OHTTP_MEDIA.keys, encodeKeyConfigList(keys.map(({ config }) => config).reverse()), 'no-store');
  };
}
