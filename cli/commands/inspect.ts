import {
  attestationToJson,
  CodedError,
  evidenceToJson,
  parseAttestation,
  parseEvidence,
  parseReceipt,
  receiptToJson,
} from '@veritee/protocol';
import {
  airReceiptToJson,
  detectKind,
  nitroDocumentToJson,
  parseHclReport,
  parseNitroDocument,
  parseSnpReport,
  snpReportToJson,
} from '@veritee/verifier';
import { EXIT } from '../exit.ts';
import { print, printJson, readInput, say } from '../io.ts';

/** Decodes a file. Says aloud that nothing of it was verified. */
export async function inspect(path: string, options: { readonly json: boolean }): Promise<number> {
  const file = await readInput(path);
  const kind = detectKind(file);
  if (!kind) throw new CodedError('EVIDENCE_UNSUPPORTED', `${path}: not a kind this release reads`, { field: path });
  const content = decode(kind, file);
  if (options.json) printJson({ kind, unverified: content });
  else {
    print(JSON.stringify(content, null, 2));
    say(
      `\n${kind}, ${file.length} bytes. UNVERIFIED: this is what the file says; \`veritee verify\` tells whether it is true.`,
    );
  }
  return EXIT.done;
}

function decode(kind: NonNullable<ReturnType<typeof detectKind>>, file: Uint8Array): unknown {
  switch (kind) {
    case 'receipt':
      return receiptToJson(parseReceipt(file));
    case 'attestation':
      return attestationToJson(parseAttestation(file));
    case 'evidence':
      return evidenceToJson(parseEvidence(file));
    case 'snp-report':
      return snpReportToJson(parseSnpReport(file));
    case 'nitro-document':
      return nitroDocumentToJson(parseNitroDocument(file));
    case 'air-receipt':
      return airReceiptToJson(file);
    case 'snp-hcl': {
      const { report, claims } = parseHclReport(file);
      return { ...snpReportToJson(parseSnpReport(report)), runtimeClaims: claims };
    }
  }
}
