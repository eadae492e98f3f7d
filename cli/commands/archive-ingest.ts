import {
  Appraiser,
  type Archive,
  type Finding,
  httpSource,
  type IngestOptions,
  ingestFolder,
  ingestService,
  openArchive,
  recordPolicy,
  settingsOf,
} from '@veritee/archive';
import { ClientError } from '@veritee/client';
import { CodedError, utf8 } from '@veritee/protocol';
import { AUTHENTICITY } from '@veritee/verifier';
import { EXIT } from '../exit.ts';
import { readAnchors, readCrl, readEndorsement, readPolicy, usage } from '../inputs.ts';
import { print, printJson, progressBar, readInput } from '../io.ts';

export interface ArchiveIngestOptions {
  readonly archive: string;
  readonly url?: string;
  readonly policy?: string;
  readonly trustAnchor: readonly string[];
  readonly endorsement: readonly string[];
  readonly crl: readonly string[];
  readonly tenant?: string;
  readonly class: string;
  readonly expectBoot: readonly string[];
  readonly database: string;
  readonly blobs: string;
  readonly writeOnce: boolean;
  readonly json: boolean;
}

interface Totals {
  entries: number;
  evidence: number;
  attachments: number;
  files: number;
  boots: number;
  findings: Finding[];
}

const MAX_NAME = 256;

export async function archiveIngest(folders: readonly string[], options: ArchiveIngestOptions): Promise<number> {
  if (options.url === undefined && folders.length === 0) throw usage('url', 'a service, or folders to take in');
  const wrong = options.expectBoot.find((boot) => !/^[0-9a-f]{32}$/.test(boot));
  if (wrong !== undefined) throw usage('expect-boot', '32 lower-case hex digits');
  const [tenant, retentionClass] = [options.tenant ?? null, options.class];
  if (
    (tenant ?? 'x') === '' ||
    retentionClass === '' ||
    (tenant ?? '').length > MAX_NAME ||
    retentionClass.length > MAX_NAME
  )
    throw usage('tenant and --class', `names of 1 to ${MAX_NAME} characters`);
  const source = options.url === undefined ? null : httpSource(options.url);
  const inputs = await readInputs(options);
  const create = settingsOf(options.database, options.blobs, options.writeOnce);
  const archive = await openArchive({ folder: options.archive, mode: 'write' }, { create });
  try {
    const appraiser = await Appraiser.create(inputs, archive.blobs);
    await recordPolicy(archive, appraiser);
    const totals: Totals = { entries: 0, evidence: 0, attachments: 0, files: 0, boots: 0, findings: [] };
    const common = { appraiser, tenant, retentionClass };
    if (source) await fromService(archive, source, { ...common, expectBoots: options.expectBoot }, totals);
    for (const folder of folders) {
      const bar = progressBar();
      const { findings, ...counts } = await ingestFolder(archive, folder, {
        ...common,
        onProgress: (progress) => bar.show(folder, progress),
      });
      bar.end();
      add(totals, counts, findings);
    }
    return report(archive, totals, options.json);
  } finally {
    await archive.close();
  }
}

async function readInputs(options: ArchiveIngestOptions) {
  const { policy, trustAnchor, endorsement, crl } = options;
  if (policy !== AUTHENTICITY.id) await readPolicy(policy); // what is wrong with it is said before anything is made
  await readAnchors(trustAnchor);
  return {
    policy: policy === undefined || policy === AUTHENTICITY.id ? utf8(AUTHENTICITY.id) : await readInput(policy),
    anchors: await Promise.all(trustAnchor.map(readInput)),
    endorsements: await Promise.all(endorsement.map(readEndorsement)),
    crls: await Promise.all(crl.map(readCrl)),
  };
}

async function fromService(
  archive: Archive,
  source: ReturnType<typeof httpSource>,
  options: IngestOptions,
  totals: Totals,
): Promise<void> {
  const bar = progressBar();
  try {
    const { findings, ...counts } = await ingestService(archive, source, {
      ...options,
      onProgress: (progress) => bar.show(source.name, progress),
    });
    add(totals, counts, findings);
  } catch (error) {
    // What the service did is not its auditor's usage.
    if (error instanceof CodedError && error.code.startsWith('SERVICE_'))
      throw new ClientError(error.code, error.message, {
        cause: error,
        ...(error.field ? { field: error.field } : {}),
      });
    throw error;
  } finally {
    bar.end();
  }
}

function add(totals: Totals, counts: Partial<Omit<Totals, 'findings'>>, findings: readonly Finding[]): void {
  for (const name of ['entries', 'evidence', 'attachments', 'files', 'boots'] as const)
    totals[name] += counts[name] ?? 0;
  totals.findings.push(...findings);
}

async function report(archive: Archive, totals: Totals, json: boolean): Promise<number> {
  const head = await archive.store.actHead();
  const { findings, ...counts } = totals;
  if (json) {
    printJson({ archive: archive.id, ...counts, findings, head: head?.note ?? null });
  } else {
    print(`${counts.entries} entries and ${counts.evidence} reports taken in; archive ${archive.id}`);
    for (const { severity, code, boot, index, text } of findings) {
      const place = boot === null ? '' : ` boot ${boot}${index === null ? '' : ` entry ${index}`}:`;
      print(`${severity}: ${code}:${place} ${text}`);
    }
  }
  const bad = findings.some(({ severity, code }) => severity === 'critical' || code === 'EVIDENCE_REFUSED');
  return bad ? EXIT.contraindicated : EXIT.done;
}
