import type { Command } from 'commander';

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
