/**
 * What `npm run fuzz` runs: every parser that meets bytes from outside. A target may throw CodedError and nothing else;
 * where a format is canonical, what it accepts must be the only spelling of its value.
 */

import { equalBytes } from '../../protocol/bytes.ts';
import { decodeCbor, encodeCbor } from '../../protocol/cbor.ts';
import { parseCheckpoint } from '../../protocol/checkpoint.ts';
import { parseSign1 } from '../../protocol/cose.ts';
import { parseEntry } from '../../protocol/entries.ts';
import {
  encodeAttestation,
  encodeEvidence,
  encodeReceipt,
  parseAttestation,
  parseEvidence,
  parseReceipt,
} from '../../protocol/files.ts';
import { parseInferRequest } from '../../protocol/inference.ts';
import { parseJson } from '../../protocol/json.ts';
import { FrameReader } from '../../protocol/link.ts';
import { encodeSnpCertificateTable, parseSnpCertificateTable } from '../../protocol/snp-certificate-table.ts';
import { parseEntryBundle, parseTilePath } from '../../protocol/tiles.ts';
import { parseAirClaims, parseAirEnvelope } from '../../verifier/air/receipt.ts';
import { readPolicy } from '../../verifier/appraise/policy-parse.ts';
import { detectKind } from '../../verifier/kind.ts';
import { parseNitroCertificate } from '../../verifier/nitro/certificate.ts';
import { parseNitroDocument } from '../../verifier/nitro/document.ts';
import { parseHclReport } from '../../verifier/snp/hcl.ts';
import { parseSnpReport } from '../../verifier/snp/report.ts';
import { parseCertificate } from '../../verifier/x509/certificate.ts';
import { parseCrl } from '../../verifier/x509/crl.ts';
import { readCertificates } from '../../verifier/x509/pem.ts';

export { CodedError } from '../../protocol/errors.ts';

const latin1 = (data: Uint8Array): string => String.fromCharCode(...data.subarray(0, 4096));

/** Two spellings of one value would make one digest two. */
function oneSpelling(data: Uint8Array, again: Uint8Array): void {
  if (!equalBytes(data, again)) throw new Error('accepted a spelling that is not the canonical one');
}

export const TARGETS: Readonly<Record<string, (data: Uint8Array) => void>> = {
  cbor: (data) => oneSpelling(data, encodeCbor(decodeCbor(data, 'fuzz'))),
  sign1: (data) => void parseSign1(data, 'fuzz'),
  entry: (data) => void parseEntry(data),
  evidence: (data) => oneSpelling(data, encodeEvidence(parseEvidence(data))),
  attestation: (data) => oneSpelling(data, encodeAttestation(parseAttestation(data))),
  receipt: (data) => oneSpelling(data, encodeReceipt(parseReceipt(data))),
  checkpoint: (data) => void parseCheckpoint(latin1(data)),
  tilePath: (data) => void parseTilePath(latin1(data)),
  entryBundle: (data) => void parseEntryBundle(data),
  frames: (data) => void new FrameReader().push(data),
  certificateTable: (data) => void encodeSnpCertificateTable(parseSnpCertificateTable(data)),
  json: (data) => void parseJson(data),
  inferRequest: (data) =>
    void parseInferRequest(data.subarray(1), data[0] ? (data[0] as number) : null, { maxTensorBytes: 1 << 20 }),
  snpReport: (data) => void parseSnpReport(data),
  hclReport: (data) => void parseHclReport(data),
  airReceipt: (data) => void parseAirClaims(parseAirEnvelope(data).payload),
  certificate: (data) => void parseCertificate(data, 'fuzz'),
  nitroCertificate: (data) => void parseNitroCertificate(data, 'fuzz'),
  crl: (data) => void parseCrl(data, 'fuzz'),
  pem: (data) => void readCertificates(data, 'fuzz'),
  nitroDocument: (data) => void parseNitroDocument(data),
  policy: (data) => void readPolicy(data),
  detect: (data) => void detectKind(data),
};
