export { type Covered, coverageOf } from './coverage.ts';
export {
  count,
  type EvidenceFilter,
  type FoundReceipt,
  type ReceiptFilter,
  type SearchPage,
  search,
} from './search.ts';
export { type Floor, isBelow, parseFloor } from './tcb.ts';
