/** The Nitro half of `cases.ts`: refusals of raw documents, each one change from a good one. */
import {
  type CertificateSpec,
  type DocumentFields,
  SIMULATED_PCRS,
  type SimulatedNitroEvidenceRequest,
} from '../../attestation-fixtures/index.ts';
import { generateNitroKey } from '../../attestation-fixtures/nitro/pki.ts';
import { type Bytes, hex, MODEL_SET_PCR, modelSetPcr, sha256, utf8 } from '../../protocol/index.ts';
import { type AssessInput, parsePolicy } from '../../verifier/index.ts';
import { strictPolicy } from '../support/policies.ts';
import type { Row } from './cases.ts';
import { AT, anchors, bytesOf, fields, make, spec } from './nitro-simulation.ts';

interface Change {
  readonly request?: Partial<SimulatedNitroEvidenceRequest>;
  readonly nitro?: Record<string, unknown>;
  readonly input?: Partial<AssessInput>;
}

const document =
  ({ request, nitro, input }: Change) =>
  async (): Promise<AssessInput> => ({
    file: make(request).document,
    policy: nitro ? parsePolicy(strictPolicy({ nitro: strictNitro(nitro) })) : 'builtin:authenticity',
    at: AT,
    trustAnchors: anchors,
    ...input,
  });

const pcr = (index: number): string => hex(SIMULATED_PCRS.get(index) ?? new Uint8Array(48));
const build = { name: 'simulated', pcr0: pcr(0), pcr1: pcr(1), pcr2: pcr(2), pcr8: pcr(8) };
const strictNitro = (change: Record<string, unknown> = {}) => ({
  referenceValues: [build],
  debug: 'forbid',
  maxDocumentAgeSeconds: 300,
  modelBinding: 'not-required',
  ...change,
});
const otherwise = (change: Record<string, unknown>): Change => ({
  nitro: { referenceValues: [{ ...build, ...change }] },
});
const certificate = (level: 'regional' | 'leaf', change: (good: CertificateSpec) => CertificateSpec): Change => ({
  request: { mutateCertificates: { [level]: change } },
});
const other = 'aa'.repeat(48);
const MODEL_A = sha256(utf8('a'));
const MODEL_B = sha256(utf8('b'));
const measuring = (digests: readonly Bytes<32>[]): Partial<SimulatedNitroEvidenceRequest> => ({
  pcrs: new Map([...SIMULATED_PCRS, [MODEL_SET_PCR, modelSetPcr(digests)]]),
});
const keys = { regional: generateNitroKey(), leaf: generateNitroKey() };

export const NITRO: readonly Row[] = [
  [
    'a byte behind a document',
    'shape.document',
    'EVIDENCE_MALFORMED',
    async () => {
      const good = await document({})();
      return { ...good, file: new Uint8Array([...good.file, 0]), kind: 'nitro-document' };
    },
  ],
  [
    'a certificate that is none',
    'nitro.chain.shape',
    'ENDORSEMENT_MALFORMED',
    document({ request: { mutate: fields({ certificate: bytesOf(600) }) } }),
  ],
  ['a root that nobody named', 'nitro.chain.root', 'CHAIN_UNTRUSTED', document({ input: { trustAnchors: [] } })],
  [
    'authorities out of order',
    'nitro.chain.profile',
    'CERTIFICATE_INVALID',
    document({
      request: {
        mutate: (good: DocumentFields) => {
          const [root, regional, zonal, instance] = good.cabundle;
          return { ...good, cabundle: [root!, zonal!, regional!, instance!] };
        },
      },
    }),
  ],
  [
    'an authority of the same name under another key',
    'nitro.chain.intermediates',
    'CHAIN_UNTRUSTED',
    document({
      request: {
        mutate: (good: DocumentFields) => {
          const [root, , zonal, instance] = good.cabundle;
          return { ...good, cabundle: [root!, make({ keys }).issued.regional.certificate, zonal!, instance!] };
        },
      },
    }),
  ],
  [
    'a leaf that its issuer did not sign',
    'nitro.chain.leaf',
    'CHAIN_UNTRUSTED',
    document({
      request: {
        mutate: (good: DocumentFields) => {
          const { instance } = make({ keys: { instance: generateNitroKey() } }).issued;
          const stranger = make({ keys: { instance: instance.privateKey } });
          return { ...good, certificate: stranger.issued.leaf.certificate };
        },
      },
    }),
  ],
  [
    'a leaf that ended before the document’s time',
    'nitro.chain.time',
    'CERTIFICATE_EXPIRED',
    document(certificate('leaf', spec({ notAfter: new Date(AT.getTime() - 250) }))),
  ],
  ['another signer', 'nitro.signature', 'SIGNATURE_INVALID', document({ request: { signWith: keys.leaf } })],
  [
    'the module id of another enclave',
    'nitro.module',
    'CERTIFICATE_INVALID',
    document({
      request: {
        mutate: (good: DocumentFields) => ({ ...good, moduleId: good.moduleId.replace(/enc.*$/, 'encff') }),
      },
    }),
  ],
  [
    'a document of tomorrow',
    'nitro.not-from-future',
    'DOCUMENT_FROM_FUTURE',
    document({ input: { at: new Date(AT.getTime() - 86_400_000) } }),
  ],
  ['another image', 'policy.nitro-pcr0', 'MEASUREMENT_UNKNOWN', document(otherwise({ pcr0: other }))],
  ['another kernel', 'policy.nitro-pcr1', 'MEASUREMENT_UNKNOWN', document(otherwise({ pcr1: other }))],
  ['another application', 'policy.nitro-pcr2', 'MEASUREMENT_UNKNOWN', document(otherwise({ pcr2: other }))],
  ['another signer of the image', 'policy.nitro-pcr8', 'MEASUREMENT_UNKNOWN', document(otherwise({ pcr8: other }))],
  [
    'a debug enclave',
    'policy.nitro-debug',
    'DEBUG_ENABLED',
    document({
      request: { pcrs: new Map([0, 1, 2].map((index) => [index, new Uint8Array(48)])) },
      nitro: { referenceValues: 'any-unidentified-program' },
    }),
  ],
  [
    'models that PCR16 does not measure',
    'policy.model-set',
    'MODEL_SET_UNKNOWN',
    document({ request: measuring([MODEL_B, MODEL_A]), nitro: { modelBinding: { modelSets: [[hex(MODEL_A)]] } } }),
  ],
  [
    'models of an enclave that locked no PCR16',
    'policy.model-set',
    'MODEL_SET_UNKNOWN',
    document({ nitro: { modelBinding: { modelSets: [[hex(MODEL_A)]] } } }),
  ],
  [
    'a document of an hour ago',
    'policy.nitro-document-age',
    'DOCUMENT_TOO_OLD',
    document({ nitro: {}, input: { at: new Date(AT.getTime() + 3_600_000) } }),
  ],
];

export const NITRO_GOOD: readonly (readonly [string, () => Promise<AssessInput>])[] = [
  ['a Nitro document', document({})],
  [
    'a Nitro document over measured models, listed in another order',
    document({
      request: measuring([MODEL_B, MODEL_A]),
      nitro: { modelBinding: { modelSets: [[hex(MODEL_A)], [hex(MODEL_A), hex(MODEL_B)]] } },
    }),
  ],
  ['a Nitro document under the strict policy', document({ nitro: {} })],
];
