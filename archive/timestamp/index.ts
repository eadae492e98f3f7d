export {
  type AskAuthority,
  entryExistedBy,
  httpAuthority,
  renewTimestamps,
  type Stamped,
  type Standing,
  stampedBody,
  timestampHead,
  verifyTimestamps,
} from './stamp.ts';
export { readAuthorities, type VerifiedToken, verifyToken } from './token.ts';
