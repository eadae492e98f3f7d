/**
 * What `npm run fuzz` runs: every parser that meets bytes from outside. A target may throw CodedError and nothing else;
 * where a format is canonical, what it accepts must be the only spelling of its value.
 */

import { parseEif } from '../../cli/measure/nitro/eif.ts';
import { verifyEifSignature } from '../../cli/measure/nitro/eif-signature.ts';
import { measureEnclave } from '../../cli/measure/nitro/pcrs.ts';
import { readIdBlock } from '../../cli/measure/snp/id-block.ts';
import { parseOvmf } from '../../cli/measure/snp/ovmf.ts';
import { readTensorProto } from '../../cli/tensor-proto.ts';
import { readAttestationAnswer, readDescription, readPcr } from '../../enclave/attester/nsm-messages.ts';
import { GivenEndorsements } from '../../enclave/attester/snp-certificates.ts';
import { parseEnvelopedData } from '../../enclave/keys/cms.ts';
import { parseModelConfig } from '../../enclave/models/config.ts';
import { readBuilds } from '../../enclave/platform-measurement/builds.ts';
import { bytes, equalBytes } from '../../protocol/bytes.ts';
import { decodeCbor, encodeCbor } from '../../protocol/cbor.ts';
import { parseCheckpoint } from '../../protocol/checkpoint.ts';
import { parseSign1 } from '../../protocol/cose.ts';
import { parseEntry } from '../../protocol/entries.ts';
import { EvidenceError } from '../../protocol/errors.ts';
import {
  encodeAttestation,
  encodeEvidence,
  encodeReceipt,
  parseAttestation,
  parseEvidence,
  parseReceipt,
} from '../../protocol/files.ts';
import { parseInferRequest, parseInferResponse } from '../../protocol/inference.ts';
import { parseJson } from '../../protocol/json.ts';
import { parseKbsAttestation, parseKbsChallenge, parseKbsRequest, parseKbsResource } from '../../protocol/kbs.ts';
import { FrameReader } from '../../protocol/link.ts';
import { parseBinaryResponse, readBinaryRequest } from '../../protocol/sealed/binary-http.ts';
import { ByteReader, onePiece } from '../../protocol/sealed/byte-reader.ts';
import { openChunks } from '../../protocol/sealed/chunks.ts';
import { parseKeyConfig, parseKeyConfigList } from '../../protocol/sealed/key-config.ts';
import { refuseRequest } from '../../protocol/sealed/refusal.ts';
import { parseSealedModelHead } from '../../protocol/sealed-model.ts';
import { encodeSnpCertificateTable, parseSnpCertificateTable } from '../../protocol/snp-certificate-table.ts';
import { parseEntryBundle, parseTilePath } from '../../protocol/tiles.ts';
import { parseAirClaims, parseAirEnvelope } from '../../verifier/air/receipt.ts';
import { readPolicy } from '../../verifier/appraise/policy-file.ts';
import { toJson } from '../../verifier/appraise/result.ts';
import { assess } from '../../verifier/assess.ts';
import { detectKind } from '../../verifier/kind.ts';
import { parseNitroCertificate } from '../../verifier/nitro/certificate.ts';
import { parseNitroDocument } from '../../verifier/nitro/document.ts';
import { renderHtml } from '../../verifier/report-html.ts';
import { readEndorsements } from '../../verifier/snp/endorsements.ts';
import { parseHclReport } from '../../verifier/snp/hcl.ts';
import { parseSnpReport } from '../../verifier/snp/report.ts';
import { readTrustAnchors } from '../../verifier/trust/read.ts';
import { parseCertificate } from '../../verifier/x509/certificate.ts';
import { parseCrl } from '../../verifier/x509/crl.ts';
import { readCertificates, readCrls } from '../../verifier/x509/pem.ts';
import { withCrc } from '../cli/eif.ts';

export { CodedError } from '../../protocol/errors.ts';

const latin1 = (data: Uint8Array): string => String.fromCharCode(...data.subarray(0, 4096));
const utf8 = new TextDecoder();
/** A time at which every simulated certificate is valid. */
const AT = new Date('2026-06-01T12:00:00Z');

/** The whole of the verifier over `[root, file, endorsement…]`, all byte strings: it has a result for every file. */
async function assessFuzzed(data: Uint8Array): Promise<void> {
  const parts = decodeCbor(data, 'fuzz');
  if (!Array.isArray(parts)) throw new EvidenceError('EVIDENCE_MALFORMED', 'want an array');
  const [root, file, ...endorsements] = parts.filter((part) => part instanceof Uint8Array);
  if (!root || !file) throw new EvidenceError('EVIDENCE_MALFORMED', 'want a root and a file');
  const trustAnchors = await readTrustAnchors(root, 'root');
  const result = await assess({ file, policy: 'builtin:authenticity', at: AT, trustAnchors, endorsements });
  toJson(result);
  renderHtml(result);
}

async function readToEnd(pieces: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of pieces);
}

/** Two spellings of one value would make one digest two. */
function oneSpelling(data: Uint8Array, again: Uint8Array): void {
  if (!equalBytes(data, again)) throw new Error('accepted a spelling that is not the canonical one');
}

export const TARGETS: Readonly<Record<string, (data: Uint8Array) => void | Promise<void>>> = {
  cbor: (data) => oneSpelling(data, encodeCbor(decodeCbor(data, 'fuzz'))),
  sign1: (data) => void parseSign1(data, 'fuzz'),
  entry: (data) => void parseEntry(data),
  evidence: (data) => oneSpelling(data, encodeEvidence(parseEvidence(data))),
  attestation: (data) => oneSpelling(data, encodeAttestation(parseAttestation(data))),
  receipt: (data) => oneSpelling(data, encodeReceipt(parseReceipt(data))),
  checkpoint: (data) => void parseCheckpoint(utf8.decode(data)),
  tilePath: (data) => void parseTilePath(latin1(data)),
  entryBundle: (data) => void parseEntryBundle(data),
  frames: (data) => void new FrameReader().push(data),
  keyConfig: (data) => void parseKeyConfig(data),
  keyConfigList: (data) => void parseKeyConfigList(data),
  binaryRequest: async (data) => readToEnd((await readBinaryRequest(onePiece(data))).body),
  binaryResponse: (data) => void parseBinaryResponse(new Uint8Array(data)),
  // Every chunk counts as authentic: what is tried is the framing.
  sealedChunks: async (data) =>
    readToEnd(openChunks(new ByteReader(onePiece(data)), async (chunk) => chunk.subarray(16), refuseRequest)),
  certificateTable: (data) => void encodeSnpCertificateTable(parseSnpCertificateTable(data)),
  json: (data) => void parseJson(data),
  inferRequest: (data) =>
    void parseInferRequest(data.subarray(1), data[0] ? (data[0] as number) : null, { maxTensorBytes: 1 << 20 }),
  inferResponse: (data) => void parseInferResponse(data.subarray(1), data[0] ? (data[0] as number) : null),
  modelConfig: (data) => void parseModelConfig(data, 'fuzz'),
  tensorProto: (data) => void readTensorProto(data, 'fuzz'),
  nsmAnswer: (data) => void readAttestationAnswer(data),
  nsmDescription: (data) => void readDescription(data),
  nsmPcr: (data) => void readPcr(data),
  givenEndorsements: (data) => new GivenEndorsements().offer(data),
  referenceBuilds: (data) => void readBuilds(data),
  sealedModelHead: (data) => void parseSealedModelHead(data, data.length, 'fuzz'),
  kbsRequest: (data) => void parseKbsRequest(data),
  kbsChallenge: (data) => void parseKbsChallenge(data),
  kbsAttestation: (data) => void parseKbsAttestation(data.subarray(1), data[0] === 0 ? 'snp' : 'nitro'),
  kbsResource: (data) => void parseKbsResource(data),
  envelopedData: (data) => void parseEnvelopedData(data),
  snpReport: (data) => void parseSnpReport(data),
  hclReport: (data) => void parseHclReport(data),
  airReceipt: (data) => void parseAirClaims(parseAirEnvelope(data).payload),
  certificate: (data) => void parseCertificate(data, 'fuzz'),
  nitroCertificate: (data) => void parseNitroCertificate(data, 'fuzz'),
  crl: (data) => void parseCrl(data, 'fuzz'),
  endorsements: (data) => void readEndorsements(data, 'fuzz'),
  crls: (data) => void readCrls(data, 'fuzz'),
  pem: (data) => void readCertificates(data, 'fuzz'),
  nitroDocument: (data) => void parseNitroDocument(data),
  policy: (data) => void readPolicy(data),
  // The CRC is made right, since no mutation would hit it.
  eif: (data) => void measureEnclave(parseEif(data.length < 548 ? data : withCrc(data))),
  eifSignature: (data) => void verifyEifSignature(data, bytes(new Uint8Array(48), 48, 'fuzz')),
  ovmf: (data) => void parseOvmf(data),
  idBlock: (data) => void readIdBlock(data.subarray(0, 96), data.subarray(96)),
  detect: (data) => void detectKind(data),
  assess: assessFuzzed,
};
