import { availableParallelism } from 'node:os';
import {
  type AuditReport,
  audit,
  auditHtml,
  auditJson,
  openArchive,
  placeOf,
  ThreadCrew,
  thisThread,
} from '@veritee/archive';
import { fromUtf8 } from '@veritee/protocol';
import { PRODUCER } from '../ear.ts';
import { EXIT } from '../exit.ts';
import { usage } from '../inputs.ts';
import { checkOutputs, print, printJson, progressBar, readInput, writeOutputs } from '../io.ts';

export interface ArchiveAuditOptions {
  readonly archive: string;
  readonly threads?: string;
  readonly head: readonly string[];
  readonly report?: string;
  readonly json: boolean;
}

const MAX_THREADS = 256;

export async function archiveAudit(options: ArchiveAuditOptions): Promise<number> {
  const threads = options.threads === undefined ? availableParallelism() : Number(options.threads);
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS)
    throw usage('threads', `a number from 1 to ${MAX_THREADS}`);
  const heads = await Promise.all(options.head.map(async (file) => fromUtf8(await readInput(file))));
  if (options.report !== undefined) await checkOutputs([options.report]);
  const archive = await openArchive({ folder: options.archive, mode: 'read' });
  const crew = threads === 1 ? thisThread(archive) : new ThreadCrew(options.archive, threads);
  const bar = progressBar();
  try {
    const report = await audit(archive, { crew, heads, onProgress: (progress) => bar.show(progress.pass, progress) });
    bar.end();
    if (options.report !== undefined)
      await writeOutputs([{ path: options.report, content: auditHtml(report, PRODUCER) }]);
    if (options.json) printJson(auditJson(report));
    else printReport(report);
    return report.verdict === 'intact' ? EXIT.done : EXIT.contraindicated;
  } finally {
    await crew.close();
    await archive.close();
  }
}

function printReport({ archive, head, verdict, findings, unlisted, figures }: AuditReport): void {
  const { entries, boots, evidence, statements, passes } = figures;
  const rate = ({ items, seconds }: { readonly items: number; readonly seconds: number }): string =>
    `${Math.round(items / Math.max(seconds, 1e-3))}/s`;
  print(`${verdict}: archive ${archive}, ${head?.size ?? 0} acts`);
  print(`  ${entries} entries of ${boots} boots hashed (${rate(passes.hash)})`);
  print(`  ${statements} signed statements verified (${rate(passes.entries)})`);
  print(`  ${evidence} reports appraised again (${rate(passes.evidence)})`);
  for (const one of findings) {
    const recorded = one.act === null ? '' : ` (recorded by act ${one.act})`;
    print(`${one.severity}: ${one.code}: ${placeOf(one)}: ${one.text}${recorded}`);
  }
  for (const [code, count] of Object.entries(unlisted)) print(`  and ${count} more of ${code}`);
}
