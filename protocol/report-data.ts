import { type Bytes, hex, utf8 } from './bytes.ts';
import type { CheckpointBody } from './checkpoint.ts';
import { sha256, sha512 } from './hash.ts';

/** The exact text whose SHA-512 is REPORT_DATA; a person can feed it to `sha512sum`. */
export function reportDataPreimage(
  sessionClaims: Uint8Array,
  previous: Bytes<64> | null,
  checkpoint: CheckpointBody,
): string {
  const lines = ['veritee/report-data/v1', hex(sha256(sessionClaims)), previous ? hex(previous) : '0'.repeat(128)];
  return `${lines.join('\n')}\n${checkpoint}`;
}

/**
 * The 64 bytes placed in REPORT_DATA (SNP) or `user_data` (Nitro), design §3; freshness as in RFC 9334 §10.
 *
 * @param sessionClaims the payload of log entry 0
 * @param previous REPORT_DATA of the last report obtained in this boot, null for the first
 */
export const reportData = (
  sessionClaims: Uint8Array,
  previous: Bytes<64> | null,
  checkpoint: CheckpointBody,
): Bytes<64> => sha512(utf8(reportDataPreimage(sessionClaims, previous, checkpoint)));
