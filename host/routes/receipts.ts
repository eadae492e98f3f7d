import { base64url, bytes, encodeReceipt, fromHex, HEADER, hex, MEDIA_TYPE, ServiceError } from '@veritee/protocol';
import type { RequestHandler } from 'express';
import type { Store, StoredEvidence } from '../store/store.ts';
import { idOf, sendBytes, sendJson, wantsJson } from './request.ts';

type ReceiptStatus = 'hardware-committed' | 'pending' | 'neverCommitted';

const WORDS: Readonly<Record<ReceiptStatus, string>> = {
  'hardware-committed': 'The statement is under a hardware report, and the proof is in this receipt.',
  pending: 'The statement is signed by the session and waits for the next hardware report; ask again shortly.',
  neverCommitted:
    'The enclave ended before a hardware report covered this statement. It is signed by the session, and it stays so for good.',
};

interface Found {
  readonly boot: string;
  readonly index: number;
  readonly statement: Uint8Array<ArrayBuffer>;
  readonly status: ReceiptStatus;
  /** The first evidence over the statement; or the latest of its boot, which is not over it; null when there is none. */
  readonly evidence: StoredEvidence | null;
  readonly file: Uint8Array<ArrayBuffer> | null;
}

/** `GET /receipts/:id`: the portable file, with the evidence embedded. */
export function receiptRoute(store: Store): RequestHandler {
  return async (req, res) => {
    const id = idOf(req.params['id'], 'id');
    const found = await find(store, id);
    const { status, file, evidence } = found;
    const json = wantsJson(req, res, MEDIA_TYPE.receipt);
    if (status === 'pending' && !file) {
      throw new ServiceError('EVIDENCE_NOT_READY', 'this boot of the enclave has no hardware report yet; try again');
    }
    res.statusCode = status === 'pending' ? 202 : 200;
    if (status === 'pending') res.setHeader('retry-after', '1');
    res.setHeader(HEADER.receiptStatus, status);
    if (file && !json) {
      sendBytes(res, MEDIA_TYPE.receipt, file, 'private, no-cache');
      return;
    }
    sendJson(res, {
      status,
      words: WORDS[status],
      id,
      boot: found.boot,
      index: found.index,
      statement: base64url(found.statement),
      evidenceReportData: evidence && hex(evidence.reportData),
      receipt: file && base64url(file),
    });
  };
}

async function find(store: Store, id: string): Promise<Found> {
  const place = await store.statementOf(bytes(fromHex(id) ?? new Uint8Array(0), 16, 'id'));
  if (!place) throw new ServiceError('RECEIPT_UNKNOWN', 'id: this service keeps no such receipt', { field: 'id' });
  const { boot, index } = place;
  const [statement] = await store.entries(boot, index, index + 1);
  if (!statement) throw new ServiceError('STORE_FAILED', `the store lacks entry ${index}`);
  const over = await store.firstEvidenceOver(boot, index);
  if (over) {
    const path = await store.inclusionPath(boot, index, over.size);
    const file = encodeReceipt({ statement, path, evidence: { file: over.file } });
    return { boot, index, statement, status: 'hardware-committed', evidence: over, file };
  }
  const evidence = await store.latestEvidence(boot);
  const file = evidence && encodeReceipt({ statement, path: null, evidence: { file: evidence.file } });
  const ended = (await store.boot(boot))?.ended ?? null;
  return { boot, index, statement, status: ended === null ? 'pending' : 'neverCommitted', evidence, file };
}
