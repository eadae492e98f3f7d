/** Endorsements of one SNP report, fetched from AMD and verified before anyone gets to keep them. */
import { ClientError } from '@veritee/client';
import type { EndorsementFetcher, EndorsementKey, KdsProduct, UnverifiedEndorsement } from '@veritee/host';
import type { Code } from '@veritee/protocol';
import { type AttestationResult, assess, type SnpReport, type TrustAnchor } from '@veritee/verifier';

/** The certificates of one report. `leaf` is the VCEK from KDS, or the VLEK that the guest brought. */
export interface Endorsements {
  readonly leaf: Uint8Array;
  readonly fetched: readonly UnverifiedEndorsement[];
  readonly chain: Uint8Array;
  readonly crl: Uint8Array;
}

export interface Wanted {
  readonly file: Uint8Array;
  readonly report: SnpReport;
  /** Likeliest first. */
  readonly products: readonly [KdsProduct, ...KdsProduct[]];
  /** The VLEK the guest brought; null when a VCEK signed the report. */
  readonly vlek: Uint8Array | null;
  readonly anchors: readonly TrustAnchor[];
}

/**
 * Nothing from the network or the cache leaves this function before the report verifies with it.
 * @throws CodedError what cannot be fetched; ClientError what does not verify
 */
export async function fetchVerified(fetcher: EndorsementFetcher, wanted: Wanted): Promise<Endorsements> {
  const first = await fetchAll(fetcher, wanted);
  const verdict = await verdictOf(wanted, first);
  if (verdict.verdict === 'affirming') return first;
  // Kept ones verified once, but they expire, and AMD revokes and replaces. The one to blame is asked for again, once.
  const blamed = new Set(verdict.findings.flatMap(({ code }) => BLAMED[code] ?? []));
  const outdated = first.fetched.filter(
    ({ key, source, refreshFailure }) => source === 'cache' && refreshFailure === null && blamed.has(key.kind),
  );
  if (outdated.length === 0) throw refusal(verdict);
  for (const { key } of outdated) await fetcher.forget(key);
  const second = await fetchAll(fetcher, wanted);
  const again = await verdictOf(wanted, second);
  if (again.verdict === 'affirming') return second;
  throw refusal(again);
}

function refusal(result: AttestationResult): ClientError {
  const [first] = result.findings;
  const message = `the report does not verify with these endorsements, and none of them was kept: ${first?.claim}`;
  return new ClientError(first?.code ?? 'EVIDENCE_UNSUPPORTED', message, { result });
}

/**
 * What a finding says about endorsements that verified before. A forged report fails by its signature: no reason to ask AMD
 * again. A list that revokes is kept: an older one, sent again in its place, would revoke nothing.
 */
const BLAMED: Partial<Record<Code, readonly EndorsementKey['kind'][]>> = {
  CERTIFICATE_INVALID: ['vcek', 'chain'],
  CERTIFICATE_EXPIRED: ['vcek', 'chain'],
  CERTIFICATE_NOT_YET_VALID: ['vcek', 'chain'],
  CERTIFICATE_REVOKED: ['vcek', 'chain'],
  CRL_INVALID: ['crl'],
  CRL_STALE: ['crl'],
};

async function fetchAll(fetcher: EndorsementFetcher, { report, products, vlek }: Wanted): Promise<Endorsements> {
  if (vlek) {
    const [product] = products;
    const chain = await fetcher.chain(product, 'vlek');
    const crl = await fetcher.crl(product, 'vlek');
    return { leaf: vlek, fetched: [chain, crl], chain: chain.bytes, crl: crl.bytes };
  }
  const vcek = await fetcher.vcekOfAny(products, { chipId: report.chipId, tcb: report.reportedTcb });
  const { product } = vcek.key;
  const chain = await fetcher.chain(product, 'vcek');
  const crl = await fetcher.crl(product, 'vcek');
  return { leaf: vcek.bytes, fetched: [vcek, chain, crl], chain: chain.bytes, crl: crl.bytes };
}

const verdictOf = (wanted: Wanted, { leaf, chain, crl }: Endorsements): Promise<AttestationResult> =>
  assess({
    file: wanted.file,
    kind: 'snp-report',
    policy: 'builtin:authenticity',
    at: new Date(),
    trustAnchors: wanted.anchors,
    endorsements: [leaf, chain],
    crls: [crl],
  });
