import { bytes, type Cbor, decodeCbor, ed25519Key, encodeCbor, encodeSign1, verifySign1 } from '@veritee/protocol';
import { expect, test } from 'vitest';
import {
  ACT_FIELDS,
  type Act,
  type ActKind,
  type Appraisal,
  actContentType,
  EVERYTHING,
  encodeAct,
  parseAct,
} from '../../archive/index.ts';
import { SessionKey } from '../support/mini-enclave.ts';

const key = new SessionKey();
const d = <N extends number>(n: N, fill = 7) => bytes(new Uint8Array(n).fill(fill), n, 'd');
const appraisal: Appraisal = {
  ...{ policy: d(32), policyDigest: d(32, 1), anchors: [d(32)], endorsements: [], crls: [d(32, 2), d(32, 3)] },
  ...{ verifier: 'v 1', atMs: 12, verdict: 'contraindicated', codes: ['DEBUG_ENABLED'], result: d(32) },
};

/** One of each kind; a kind without an example does not compile. */
const EXAMPLES: { readonly [K in ActKind]: Extract<Act, { kind: K }> } = {
  created: { kind: 'created', publicKey: d(32), writeOnce: true },
  ingest: {
    ...{
      kind: 'ingest',
      source: 'http://x',
      boot: d(16),
      from: 3,
      to: 9,
      root: d(32),
      reportData: d(64),
      evidence: d(32),
    },
    ...{ appraisal, tenant: null, retentionClass: 'short' },
  },
  tail: { kind: 'tail', source: 's', boot: d(16), from: 1, to: 2, root: d(32), tenant: 'acme', retentionClass: 'x' },
  state: { kind: 'state', boot: d(16), state: 'lost' },
  deposit: {
    ...{ kind: 'deposit', source: 'f', boot: d(16), evidence: { reportData: d(64), file: d(32), appraisal } },
    ...{
      entries: [{ index: 4, leaf: d(32), proven: true }],
      attachments: [{ index: 4, role: 'request', blob: d(32) }],
    },
    ...{ tenant: null, retentionClass: 'x' },
  },
  finding: { kind: 'finding', code: 'LOG_GAP', severity: 'critical', boot: null, entry: 3, object: null, text: 't' },
  hold: { kind: 'hold', hold: 'case 7', scope: { ...EVERYTHING, receiptIds: [d(16)], tenant: 'acme' }, reason: 'r' },
  release: { kind: 'release', hold: 'case 7', reason: 'r' },
  export: { kind: 'export', scope: EVERYTHING, format: 'zip', receipts: 3, manifest: d(32) },
  purge: {
    ...{ kind: 'purge', scope: EVERYTHING, ranges: [{ boot: d(16), from: 1, to: 4 }], entries: 3, leaves: d(32) },
    ...{ blobs: [d(32)], rule: 'short', reason: 'expired' },
  },
  timestamp: {
    ...{ kind: 'timestamp', size: 4, root: d(32), token: d(32), existedBy: 9, authority: 'tsa', renews: null },
  },
  cosignature: { kind: 'cosignature', size: 4, root: d(32), line: '— w AAA' },
  policy: { kind: 'policy', policy: d(32), policyDigest: d(32), anchors: [] },
  retention: { kind: 'retention', rules: d(32) },
};

const COMMON = { index: 5, timeMs: 99, by: 'somebody' };

test('each kind comes back as it was written, under a content type and signature of its own', async () => {
  expect(Object.keys(EXAMPLES).sort()).toEqual(Object.keys(ACT_FIELDS).sort());
  for (const act of Object.values(EXAMPLES)) {
    const row = encodeAct(act, COMMON, key.sign);
    const { act: read, message } = parseAct(row.cose);
    expect(read).toEqual({ ...act, ...COMMON });
    expect(message.contentType).toBe(actContentType(act.kind));
    expect(await verifySign1(message, ed25519Key(key.key, 'key'))).toBe(true);
    expect(row).toMatchObject({ index: 5, kind: act.kind });
  }
});

test('a closed map: a field more, a field less, another type or another kind is refused', () => {
  for (const act of Object.values(EXAMPLES)) {
    const { message } = parseAct(encodeAct(act, COMMON, key.sign).cose);
    const fields = decodeCbor(message.payload, 'act') as ReadonlyMap<string, Cbor>;
    const signed = (changed: ReadonlyMap<string, Cbor>, contentType = message.contentType) =>
      encodeSign1(contentType, encodeCbor(changed), key.sign);
    expect(() => parseAct(signed(new Map([...fields, ['more', 1]])))).toThrowError(/unknown field/);
    for (const name of fields.keys()) {
      expect(() => parseAct(signed(new Map([...fields].filter(([one]) => one !== name))))).toThrowError();
      expect(() => parseAct(signed(new Map([...fields, [name, new Map([['x', -1]])]])))).toThrowError();
    }
    const other = actContentType(act.kind === 'hold' ? 'release' : 'hold');
    expect(() => parseAct(signed(fields, other))).toThrowError();
  }
  const unknown = encodeSign1('application/vnd.veritee.archive-other+cbor', encodeCbor(new Map()), key.sign);
  expect(() => parseAct(unknown)).toThrowError(expect.objectContaining({ code: 'EVIDENCE_UNSUPPORTED' }));
});

test('truncation at every length is refused', () => {
  const { cose } = encodeAct(EXAMPLES.deposit, COMMON, key.sign);
  for (let length = 0; length < cose.length; length++) {
    expect(() => parseAct(cose.subarray(0, length))).toThrowError(expect.objectContaining({ name: 'EvidenceError' }));
  }
});
