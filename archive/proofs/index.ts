export { cmwOfReceipt, cmwOfReceiptJson } from './cmw.ts';
export { COSE_RECEIPT_TYPE, type CoseReceipt, parseCoseReceipt, verifyCoseReceipt } from './cose-receipt.ts';
export { type CheckpointNote, parseCheckpointNote, parseWitnessKey, type Witness } from './note.ts';
export {
  type ActProof,
  actCoseReceipt,
  actTlogProof,
  type EntryProof,
  entryCoseReceipt,
  entryTlogProof,
  logOf,
  openArchiveKey,
  placeOfReceipt,
  portableReceipt,
  proveActs,
  proveEntry,
} from './prove.ts';
export { parseTlogProof, type TlogProof, verifyTlogProof } from './tlog-proof.ts';
