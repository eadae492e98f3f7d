import type { Command } from 'commander';
import { addScope } from './archive-scope-flags.ts';

/** The status a command ends with; set by the action that ran. */
interface Ended {
  status: number;
}

const collect = (value: string, before: readonly string[]): string[] => [...before, value];

/** `veritee archive …`: each verb loads the one module it calls. */
export function addArchive(root: Command, ended: Ended): void {
  const archive = root.command('archive').description('keep, search, prove and replay the evidence of years');

  archive
    .command('ingest')
    .description('take in the logs of a live service, or folders of receipts; what is there already is passed over')
    .argument('[dir...]', 'folders of receipts, attestations and evidence')
    .requiredOption('--archive <dir>', 'the archive; made when there is none')
    .option('--url <url>', 'a service whose logs are followed')
    .option('--policy <file>', 'what the evidence is appraised under, or builtin:authenticity (required)')
    .option('--trust-anchor <file>', 'root certificate to trust, repeatable', collect, [])
    .option('--endorsement <file>', 'certificates beside the evidence, DER or PEM, repeatable', collect, [])
    .option('--crl <file>', 'certificate revocation list, repeatable', collect, [])
    .option('--tenant <name>', 'whose these receipts are')
    .option('--class <name>', 'retention class of these receipts', 'standard')
    .option('--expect-boot <hex>', 'a boot that the service must show, repeatable', collect, [])
    .option('--database <url>', 'of a new archive: sqlite, or postgresql://…', 'sqlite')
    .option('--blobs <where>', 'of a new archive: folder, or s3://bucket/prefix?region=…&endpoint=…', 'folder')
    .option('--write-once', 'a new archive from which nothing is ever erased', false)
    .option('--json', 'one JSON object on stdout', false)
    .action(async (folders, options) => {
      const { archiveIngest } = await import('./archive-ingest.ts');
      ended.status = await archiveIngest(folders, options);
    });

  archive
    .command('audit')
    .description('verify everything again from raw bytes, and name each defect')
    .requiredOption('--archive <dir>', 'the archive')
    .option('--threads <n>', 'worker threads (default: one for each core)')
    .option('--head <file>', 'a head of this archive that was kept elsewhere, repeatable', collect, [])
    .option('--report <file>', 'write the report as one HTML page')
    .option('--json', 'one JSON object on stdout', false)
    .action(async (options) => {
      const { archiveAudit } = await import('./archive-audit.ts');
      ended.status = await archiveAudit(options);
    });

  receiptFlags(archive.command('search'))
    .description('find receipts by what they and their evidence say')
    .option('--platform <name>', 'snp, nitro, simulated-snp or simulated-nitro')
    .option('--product <name>', 'Milan, Genoa or Turin')
    .option('--measurement <hex>', 'MEASUREMENT, or PCR0')
    .option('--chip <id>', 'CHIP_ID, or Nitro module id')
    .option('--tcb-below <floor>', 'REPORTED_TCB below a floor such as Milan:snp=23,microcode=213')
    .option('--verdict <word>', 'verdict of the evidence at ingest: affirming, contraindicated or unsupported')
    .option('--policy-digest <hex>', 'of the policy at ingest')
    .option('--count', 'only how many', false)
    .action(async (options) => {
      const { archiveSearch } = await import('./archive-search.ts');
      ended.status = await archiveSearch(options);
    });

  receiptFlags(archive.command('advisory').argument('<file>', 'TCB floors, builds and chips no longer believed, JSON'))
    .description('which receipts an advisory of today affects: counts and a list')
    .action(async (file, options) => {
      const { archiveAdvisory } = await import('./archive-advisory.ts');
      ended.status = await archiveAdvisory(file, options);
    });

  archive
    .command('replay')
    .description('make a frozen verdict again, and compare it with a policy of today')
    .requiredOption('--archive <dir>', 'the archive')
    .option('--receipt <hex>', 'id of a receipt: the report that covers it')
    .option('--evidence <hex>', 'or REPORT_DATA of a report')
    .option('--policy <file>', 'a policy of today, or builtin:authenticity')
    .option('--trust-anchor <file>', 'root certificate to trust today, repeatable', collect, [])
    .option('--endorsement <file>', 'certificates to give today, repeatable', collect, [])
    .option('--crl <file>', 'certificate revocation list of today, repeatable', collect, [])
    .option('--at <time>', 'RFC 3339 time to appraise at today (default: now)')
    .option('--json', 'one JSON object on stdout', false)
    .action(async (options) => {
      const { archiveReplay } = await import('./archive-replay.ts');
      ended.status = await archiveReplay(options);
    });

  archive
    .command('prove')
    .description('a proof of one entry, or of one of the archive’s own acts, for other people’s tools')
    .requiredOption('--archive <dir>', 'the archive')
    .option('--receipt <hex>', 'a receipt')
    .option('--boot <hex>', 'an entry of this boot, with --index; for receipts that were purged too')
    .option('--index <n>', 'the entry')
    .option('--act <n>', 'an act: a purge’s tombstone, a hold, an ingest')
    .option(
      '--format <name>',
      'receipt, tlog-proof, cose-receipt, cmw or cmw-json; of acts act, tlog-proof or cose-receipt',
      'tlog-proof',
    )
    .option('--out <file>', 'where to; text goes to stdout without it')
    .action(async (options) => {
      const { archiveProve } = await import('./archive-prove.ts');
      ended.status = await archiveProve(options);
    });

  addScope(archive.command('export'))
    .description('one zip for an auditor, with the verifier inside, or JSON Lines for a SIEM')
    .requiredOption('--archive <dir>', 'the archive')
    .requiredOption('--out <file>', 'the file to write')
    .option('--format <name>', 'zip or json-lines', 'zip')
    .option('--hold <name>', 'what this legal hold covers: a case')
    .option('--with-content', 'salts and exact bodies too, where the archive has them', false)
    .option('--json', 'one JSON object on stdout', false)
    .action(async (options) => {
      const { archiveExport } = await import('./archive-export.ts');
      ended.status = await archiveExport(options);
    });

  addScope(archive.command('hold').argument('[name]', 'of the hold; without, those in force are listed'))
    .description('keep receipts whatever the retention rules say, or release them')
    .requiredOption('--archive <dir>', 'the archive')
    .option('--reason <text>', 'why, for the archive’s log')
    .option('--release', 'end this hold', false)
    .option('--json', 'one JSON object on stdout', false)
    .action(async (name, options) => {
      const { archiveHold } = await import('./archive-retention.ts');
      ended.status = await archiveHold(name, options);
    });

  archive
    .command('retention')
    .description('set how long receipts are kept, or show the rules in force')
    .argument('[file]', 'rules, JSON')
    .requiredOption('--archive <dir>', 'the archive')
    .option('--json', 'one JSON object on stdout', false)
    .action(async (file, options) => {
      const { archiveRetention } = await import('./archive-retention.ts');
      ended.status = await archiveRetention(file, options);
    });

  addScope(archive.command('purge'))
    .description('erase receipts, their salts and bodies; leaf hashes and a signed tombstone stay, so that proofs hold')
    .requiredOption('--archive <dir>', 'the archive')
    .option('--reason <text>', 'why, for the archive’s log')
    .option('--expired', 'whatever the retention rules no longer keep', false)
    .option('--dry-run', 'only count', false)
    .option('--json', 'one JSON object on stdout', false)
    .action(async (options) => {
      const { archivePurge } = await import('./archive-retention.ts');
      ended.status = await archivePurge(options);
    });

  archive
    .command('timestamp')
    .description('have an RFC 3161 authority say that the archive’s log existed by now; renew what ends soon')
    .requiredOption('--archive <dir>', 'the archive')
    .option('--tsa <url>', 'the authority')
    .option('--tsa-root <file>', 'root certificate of an authority, PEM or DER, repeatable', collect, [])
    .option('--renew-within <days>', 'renew timestamps whose certificates end so soon', '90')
    .option('--check', 'verify every timestamp there is', false)
    .option('--json', 'one JSON object on stdout', false)
    .action(async (options) => {
      const { archiveTimestamp } = await import('./archive-timestamp.ts');
      ended.status = await archiveTimestamp(options);
    });

  archive
    .command('witness')
    .description('have a C2SP witness cosign the archive’s log')
    .requiredOption('--archive <dir>', 'the archive')
    .requiredOption('--url <url>', 'the witness’s submission prefix')
    .requiredOption('--key <vkey>', 'its key: name+id+key')
    .option('--json', 'one JSON object on stdout', false)
    .action(async (options) => {
      const { archiveWitness } = await import('./archive-timestamp.ts');
      ended.status = await archiveWitness(options);
    });
}

/** What receipts are chosen by. */
const receiptFlags = (command: Command): Command =>
  command
    .requiredOption('--archive <dir>', 'the archive')
    .option('--boot <hex>', 'boot id')
    .option('--receipt <hex>', 'receipt id')
    .option('--from <time>', 'claimed time, RFC 3339, inclusive')
    .option('--to <time>', 'claimed time, RFC 3339, exclusive')
    .option('--tenant <name>', 'whose')
    .option('--model <name[/version]>', 'the model')
    .option('--model-digest <hex>', 'its digest')
    .option('--outcome <code>', 'ok, or an error code')
    .option('--class <name>', 'retention class')
    .option('--request-digest <hex>', 'salted digest of the request')
    .option('--response-digest <hex>', 'salted digest of the response')
    .option('--limit <n>', 'receipts on a page', '100')
    .option('--after <boot:index>', 'the page after this place')
    .option('--json', 'one JSON object on stdout', false);
