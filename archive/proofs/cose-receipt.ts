/**
 * A COSE Receipt of inclusion (RFC 9942): COSE_Sign1 by the archive's key over a log's root, detached, with the path in
 * the unprotected header. It says that the archive has verified this root and that the entry lies under it; the enclave's
 * own word on the root is the checkpoint, which a tlog-proof carries. The signature covers the root, not the tree size.
 */
import {
  type Bytes,
  bytes,
  type Cbor,
  concat,
  decodeCbor,
  type Ed25519Key,
  EvidenceError,
  encodeCbor,
  type Hash,
  MAX_PATH,
  MapReader,
  rootFromInclusion,
  type Sign,
  sha256,
  verifyEd25519,
} from '@veritee/protocol';

const TAG_SIGN1 = 0xd2;
const ALG_EDDSA = -8;
/** COSE header parameters. */
const HEADER = { alg: 1, kid: 4, cwtClaims: 15, vds: 395, vdp: 396 } as const;
const RFC9162_SHA256 = 1;
const INCLUSION = -1;
const CWT = { iss: 1, sub: 2 } as const;
const MAX_RECEIPT_BYTES = 8192;

export const COSE_RECEIPT_TYPE = 'application/cose; cose-type="cose-sign1"';

/** Nothing in it is trusted until it is verified. */
export interface CoseReceipt {
  /** Who vouches: `veritee-archive/<id>`. */
  readonly issuer: string;
  /** Which log: its origin. */
  readonly log: string;
  readonly keyId: Bytes<32>;
  readonly size: number;
  readonly index: number;
  readonly path: readonly Hash[];
  readonly header: Uint8Array<ArrayBuffer>;
  readonly signature: Bytes<64>;
}

export interface ReceiptRequest {
  readonly issuer: string;
  readonly log: string;
  readonly size: number;
  readonly index: number;
  readonly path: readonly Hash[];
  readonly root: Hash;
}

/** kid: SHA-256 of the raw public key. */
const keyIdOf = (key: Ed25519Key): Bytes<32> => sha256(key);

const toBeSigned = (header: Uint8Array, root: Hash): Uint8Array<ArrayBuffer> =>
  encodeCbor(['Signature1', header, new Uint8Array(0), root]);

export function encodeCoseReceipt(
  { issuer, log, size, index, path, root }: ReceiptRequest,
  key: Ed25519Key,
  sign: Sign,
): Uint8Array<ArrayBuffer> {
  const header = encodeCbor(
    new Map<number, Cbor>([
      [HEADER.alg, ALG_EDDSA],
      [HEADER.kid, keyIdOf(key)],
      [
        HEADER.cwtClaims,
        new Map([
          [CWT.iss, issuer],
          [CWT.sub, log],
        ]),
      ],
      [HEADER.vds, RFC9162_SHA256],
    ]),
  );
  const proof = encodeCbor([size, index, [...path]]);
  const unprotected = new Map([[HEADER.vdp, new Map([[INCLUSION, [proof]]])]]);
  return concat(Uint8Array.of(TAG_SIGN1), encodeCbor([header, unprotected, null, sign(toBeSigned(header, root))]));
}

/** Shape only. @throws EvidenceError EVIDENCE_MALFORMED */
export function parseCoseReceipt(message: Uint8Array): CoseReceipt {
  const fail = (reason: string): never => {
    throw new EvidenceError('EVIDENCE_MALFORMED', `COSE Receipt: ${reason}`, { field: 'receipt' });
  };
  if (message.length > MAX_RECEIPT_BYTES) fail(`longer than ${MAX_RECEIPT_BYTES} bytes`);
  if (message[0] !== TAG_SIGN1) fail('want a COSE_Sign1 message with tag 18');
  const parts = decodeCbor(message.subarray(1), 'receipt');
  if (!Array.isArray(parts) || parts.length !== 4) return fail('want the four parts of COSE_Sign1');
  const [header, unprotected, payload, signature] = parts as readonly Cbor[];
  if (payload !== null) fail('want a detached payload');
  if (!(header instanceof Uint8Array) || !(signature instanceof Uint8Array)) return fail('want byte strings');
  const fields = new MapReader(decodeCbor(header, 'receipt.protected'), 'receipt.protected');
  fields.exactly(HEADER.alg, 'alg', ALG_EDDSA);
  fields.exactly(HEADER.vds, 'vds', RFC9162_SHA256);
  const keyId = fields.bytes(HEADER.kid, 'kid', 32);
  const claims = fields.map(HEADER.cwtClaims, 'cwtClaims');
  const issuer = claims.text(CWT.iss, 'iss', 256);
  const log = claims.text(CWT.sub, 'sub', 256);
  claims.end();
  fields.end();
  const beside = new MapReader(unprotected, 'receipt.unprotected');
  const proofs = beside.map(HEADER.vdp, 'vdp');
  const [encoded, ...more] = proofs.arrayOfAnyBytes(INCLUSION, 'inclusion', 1, MAX_RECEIPT_BYTES);
  proofs.end();
  beside.end();
  if (!encoded || more.length > 0) return fail('want one proof of inclusion');
  const proof = decodeCbor(encoded, 'receipt.proof');
  if (!Array.isArray(proof) || proof.length !== 3) return fail('want tree size, leaf index and path');
  const reader = new MapReader(new Map(Object.entries({ size: proof[0], index: proof[1], path: proof[2] })), 'receipt');
  return {
    issuer,
    log,
    keyId,
    size: reader.uint('size', 'size'),
    index: reader.uint('index', 'index'),
    path: reader.arrayOfBytes('path', 'path', MAX_PATH, 32),
    header: new Uint8Array(header),
    signature: bytes(signature, 64, 'receipt.signature'),
  };
}

/** One answer: the leaf lies in the log under a root that the holder of the key signed. */
export async function verifyCoseReceipt(receipt: CoseReceipt, leaf: Hash, key: Ed25519Key): Promise<boolean> {
  const root = rootFromInclusion(leaf, receipt.index, receipt.size, receipt.path);
  return root !== null && verifyEd25519(key, toBeSigned(receipt.header, root), receipt.signature);
}
