import type { Report } from './check.ts';

/** A report in plain sentences, for a terminal and for the page. */
export function linesOf(report: Report): string[] {
  const { archive, createdAt, receipts, evidence, files, platforms, ownAnchors, purges, problems, more } = report;
  return [
    report.holds ? 'Everything holds.' : `${problems.length + more} things do not hold.`,
    `Archive ${archive ?? 'unknown'}, exported ${createdAt ?? 'at an unknown time'}; ${files} files, all as the manifest lists them${
      report.holds ? '' : ' but for those below'
    }.`,
    `${receipts.total} receipts: ${receipts.affirming} affirming, ${receipts.hardwareCommitted} under a hardware report; ${evidence} hardware reports.`,
    `Platforms: ${platforms.join(', ') || 'none verified'}.`,
    ...(platforms.some((name) => name.startsWith('simulated'))
      ? ['A SIMULATED platform proves nothing: it is for trying out and for tests.']
      : []),
    ...(ownAnchors > 0
      ? [`${ownAnchors} files of roots came with this export itself; whether to trust them is yours to decide.`]
      : []),
    ...purges.map(({ act, entries, reason }) => `Act ${act}: ${entries} entries were erased: ${reason}`),
    ...problems.map(({ place, code, text }) => `${code} at ${place}: ${text}`),
    ...(more > 0 ? [`and ${more} more`] : []),
  ];
}
