import { X509Certificate } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { ClientError } from '@veritee/client';
import {
  AMD_KDS_URL,
  EndorsementFetcher,
  type EndorsementFetcherOptions,
  type EndorsementProgress,
  KDS_PRODUCTS,
  type KdsProduct,
  kdsProductsOf,
} from '@veritee/host';
import { CODES, CodedError } from '@veritee/protocol';
import { parseSnpReport, readCertificates, type SnpReport } from '@veritee/verifier';
import { EXIT, InputError } from '../exit.ts';
import { type Endorsements, fetchVerified } from '../fetch-endorsements.ts';
import { readAnchors, readEndorsement, usage } from '../inputs.ts';
import { checkOutputs, type Output, print, printJson, readInput, say, writeOutputs } from '../io.ts';

export interface EndorsementsFetchOptions {
  readonly out: string;
  readonly cache?: string;
  readonly kds?: string;
  readonly product?: string;
  readonly vlek?: string;
  readonly trustAnchor: readonly string[];
  readonly json: boolean;
}

/** What a test replaces: the clock, the wait. */
export type FetcherParts = Pick<EndorsementFetcherOptions, 'now' | 'sleep' | 'limits'>;

export async function fetchEndorsements(
  reportPath: string,
  options: EndorsementsFetchOptions,
  parts: FetcherParts = {},
): Promise<number> {
  const file = await readInput(reportPath);
  const report = parseSnpReport(file);
  const products = productsFor(report, options.product);
  const vlek = await readVlek(report, options.vlek);
  const anchors = await readAnchors(options.trustAnchor);
  const paths = outputPaths(options.out, report);
  await makeFolder(options.out);
  await checkOutputs(Object.values(paths));
  const fetcher = new EndorsementFetcher({
    cacheDir: options.cache ?? defaultCache(),
    baseUrl: options.kds ?? AMD_KDS_URL,
    onProgress: sayProgress,
    ...parts,
  });

  const found = await asService(() => fetchVerified(fetcher, { file, report, products, vlek, anchors }));
  await writeOutputs(outputsOf(paths, found));
  for (const one of found.fetched) await fetcher.keep(one);
  for (const { refreshFailure } of found.fetched) {
    if (refreshFailure) say(`veritee: served from the cache: ${refreshFailure.code}: ${refreshFailure.message}`);
  }
  const line = verifyLine(reportPath, paths, options.trustAnchor);
  if (options.json) printJson({ files: paths, verify: line });
  else print(['These verify the report:', ...Object.values(paths).map((one) => `  ${one}`), `Now: ${line}`].join('\n'));
  return EXIT.done;
}

/** A service that cannot be had is exit 3, and what it lacks or refuses is no mistake of the caller's. */
async function asService<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof CodedError) || error instanceof ClientError) throw error;
    if (CODES[error.code].stage === 'usage') throw error;
    throw new ClientError(error.code, error.message, { cause: error });
  }
}

function productsFor(report: SnpReport, given: string | undefined): readonly [KdsProduct, ...KdsProduct[]] {
  if (given !== undefined) {
    const product = KDS_PRODUCTS.find((one) => one === given);
    if (!product) throw usage('product', KDS_PRODUCTS.join(', '));
    return [product];
  }
  if (report.signingKey === 'VLEK' && !report.cpuid) {
    throw usage('product', `${KDS_PRODUCTS.join(', ')}: a version 2 report signed by a VLEK does not tell`);
  }
  return kdsProductsOf(report);
}

async function readVlek(report: SnpReport, file: string | undefined): Promise<Uint8Array | null> {
  if (report.signingKey === 'VCEK') {
    if (file !== undefined) throw usage('vlek', 'a report signed by a VLEK; a VCEK signed this one');
    return null;
  }
  if (file === undefined) {
    throw usage('vlek', 'the VLEK certificate from the guest: only its cloud provider may ask AMD for it');
  }
  return readEndorsement(file);
}

interface OutputPaths {
  readonly leaf: string;
  readonly intermediate: string;
  readonly chain: string;
  readonly crl: string;
}

function outputPaths(folder: string, { signingKey }: SnpReport): OutputPaths {
  const at = (name: string): string => path.join(folder, name);
  return signingKey === 'VCEK'
    ? { leaf: at('vcek.der'), intermediate: at('ask.pem'), chain: at('chain.pem'), crl: at('crl.der') }
    : { leaf: at('vlek.der'), intermediate: at('asvk.pem'), chain: at('chain.pem'), crl: at('crl.der') };
}

/** The intermediate alone is what `verify` wants. The root of `chain` has been found equal to the anchor that verified. */
function outputsOf(paths: OutputPaths, { leaf, chain, crl }: Endorsements): Output[] {
  const certificates = [leaf, chain]
    .flatMap((one) => readCertificates(one, 'chain'))
    .map((der) => new X509Certificate(der));
  const signer = certificates.find(({ subject }) => /^CN=SEV-V[CL]EK$/m.test(subject));
  const intermediate = certificates.find((one) => one !== signer && one.issuer !== one.subject);
  if (!signer || !intermediate) throw new TypeError('a verified chain without its parts');
  return [
    { path: paths.leaf, content: new Uint8Array(signer.raw) },
    { path: paths.intermediate, content: intermediate.toString() },
    { path: paths.chain, content: chain },
    { path: paths.crl, content: crl },
  ];
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'failed';
    throw new InputError('FILE_UNWRITABLE', `${folder}: ${reason}`, { cause, field: folder });
  }
}

const defaultCache = (): string =>
  path.join(process.env['XDG_CACHE_HOME'] || path.join(homedir(), '.cache'), 'veritee', 'endorsements');

function sayProgress(event: EndorsementProgress): void {
  say(`veritee: ${progressText(event)}`);
}

function progressText(event: EndorsementProgress): string {
  switch (event.kind) {
    case 'waiting':
      return `waiting ${Math.ceil(event.waitMs / 1000)} s to ask for ${event.what}: ${event.reason}`;
    case 'slow':
      return `still waiting for ${event.what}`;
    case 'damaged':
      return `the cache file of ${event.what} is damaged; asking the key service instead`;
  }
}

const quoted = (text: string): string => (/^[\w./:@=+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

function verifyLine(report: string, paths: OutputPaths, anchors: readonly string[]): string {
  return [
    ...['veritee', 'verify', report, '--policy', 'builtin:authenticity'],
    ...['--endorsement', paths.leaf, '--endorsement', paths.intermediate, '--crl', paths.crl],
    ...anchors.flatMap((anchor) => ['--trust-anchor', anchor]),
  ]
    .map(quoted)
    .join(' ');
}
