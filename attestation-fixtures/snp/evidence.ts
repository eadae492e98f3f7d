import { createHash, type KeyObject } from 'node:crypto';
import { type Bytes, bytes } from '@veritee/protocol';
import { type CertificateSpec, publicKeyOf } from '../certificate.ts';
import type { Der } from '../der.ts';
import { createAuthority, generateVcekKey, type SimulatedAuthority } from './authority.ts';
import { arkSpec, askSpec, issueCertificate, vcekSpec } from './certificates.ts';
import { PRODUCTS, type Product, type Tcb } from './products.ts';
import { encodeReport, type ReportFields, reportFields, signReport } from './report.ts';

type Change<T> = (good: T) => T;

export interface SimulatedEvidenceRequest {
  readonly product: Product;
  readonly version: number;
  readonly reportData: Bytes<64>;
  readonly measurement: Bytes<48>;
  readonly tcb?: Tcb;
  readonly chipId?: Bytes<64>;
  /** Start of the VCEK; fixed unless given, so that a test's own dates stay valid. */
  readonly notBefore?: Date;
  /** Each changes one part, which is then signed again as if it were good. */
  readonly mutate?: Change<ReportFields>;
  readonly mutateVcek?: Change<CertificateSpec>;
  readonly mutateAsk?: Change<CertificateSpec>;
  readonly mutateArk?: Change<CertificateSpec>;
  /** Another authority than the one this process shares for the product. */
  readonly authority?: SimulatedAuthority;
  readonly vcekKey?: KeyObject;
}

export interface SimulatedEvidence {
  readonly report: Bytes<1184>;
  /** VCEK, ASK. */
  readonly chain: readonly [Der, Der];
  readonly ark: Der;
  readonly fields: ReportFields;
}

const authorities = new Map<Product, Promise<SimulatedAuthority>>();
let vcekKey: Promise<KeyObject> | undefined;

/** One authority a product and process, so that a test run makes each pair of RSA keys once. */
export function sharedAuthority(product: Product): Promise<SimulatedAuthority> {
  const known = authorities.get(product);
  if (known) return known;
  const made = createAuthority(product);
  authorities.set(product, made);
  return made;
}

/** CHIP_ID of the evidence below: the same at every call, zero after the product's length. */
export function sharedChipId(product: Product): Bytes<64> {
  const id = new Uint8Array(64);
  const digest = createHash('sha512').update(`veritee simulated ${product}`).digest();
  id.set(digest.subarray(0, PRODUCTS[product].chipIdLength));
  return bytes(id, 64, 'CHIP_ID');
}

/** A report with its certificates, good unless a change is asked for. */
export async function simulatedEvidence(request: SimulatedEvidenceRequest): Promise<SimulatedEvidence> {
  const { product, version, reportData, measurement } = request;
  vcekKey ??= generateVcekKey();
  const authority = request.authority ?? (await sharedAuthority(product));
  const vcek = request.vcekKey ?? (await vcekKey);
  const tcb = request.tcb ?? PRODUCTS[product].tcb;
  const chipId = request.chipId ?? sharedChipId(product);
  const notBefore = request.notBefore ?? new Date('2025-12-05T06:04:27Z');

  const tcbs = { currentTcb: tcb, reportedTcb: tcb, committedTcb: tcb, launchTcb: tcb };
  const good = reportFields(product, version, { reportData, measurement, chipId, ...tcbs });
  const fields = request.mutate?.(good) ?? good;

  const { ark, ask } = authority;
  const arkKey = publicKeyOf(ark.privateKey);
  const leaf = vcekSpec({ product, tcb, chipId, publicKey: publicKeyOf(vcek), notBefore });
  return {
    fields,
    report: signReport(encodeReport(fields), vcek),
    chain: [
      issueCertificate(request.mutateVcek?.(leaf) ?? leaf, ask.privateKey),
      request.mutateAsk
        ? issueCertificate(request.mutateAsk(askSpec(product, publicKeyOf(ask.privateKey), arkKey)), ark.privateKey)
        : ask.certificate,
    ],
    ark: request.mutateArk
      ? issueCertificate(request.mutateArk(arkSpec(product, arkKey)), ark.privateKey)
      : ark.certificate,
  };
}
