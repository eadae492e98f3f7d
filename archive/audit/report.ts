/** An audit's report as JSON and as one HTML page: every defect by code, place and one sentence. */
import { base64, hex, sha256, utf8 } from '@veritee/protocol';
import { type Content, html, type JsonObject, Markup, REPORT_STYLE, table } from '@veritee/verifier';
import type { AuditFinding, AuditReport } from './audit.ts';
import { PASSES } from './passes.ts';

export const REPORT_PROFILE = 'veritee/archive-audit/v1';

export const auditJson = ({ archive, head, atMs, verdict, findings, unlisted, figures }: AuditReport): JsonObject => ({
  profile: REPORT_PROFILE,
  archive,
  at: new Date(atMs).toISOString(),
  verdict,
  head: head && { size: head.size, root: hex(head.root), note: head.note },
  findings: findings.map((one) => ({ ...one })),
  unlisted: { ...unlisted },
  figures: {
    ...figures,
    passes: Object.fromEntries(PASSES.map((pass) => [pass, { ...figures.passes[pass] }])),
  },
});

const SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${base64(sha256(utf8(REPORT_STYLE)))}'`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

export const auditHtml = (report: AuditReport, producer = 'veritee'): string =>
  html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${SECURITY_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Archive audit: ${report.verdict}</title>
<style>${new Markup(REPORT_STYLE)}</style>
</head>
<body>
<h1>Archive audit: ${report.verdict}</h1>
<p class="sentence ${report.verdict === 'intact' ? 'affirming' : 'contraindicated'}">${sentence(report)}</p>
${section('What was audited', facts(audited(report)))}
${section('Defects', defects(report))}
${section('What it took', passes(report))}
<footer>${producer}. Found again from raw bytes: the archive’s own log, every report under its frozen policy, every tree, every
signature, every search column, every blob. Whether the whole archive was put back to an earlier state, only a head that was
kept elsewhere can tell.</footer>
</body>
</html>
`.text;

const number = (value: number): string => value.toLocaleString('en');

function sentence({ verdict, findings, figures }: AuditReport): string {
  const scope = `${number(figures.entries)} entries of ${number(figures.boots)} boots under ${number(figures.evidence)} reports`;
  const critical = findings.filter(({ severity }) => severity === 'critical').length;
  const others = findings.length - critical;
  if (verdict === 'intact') {
    return `${scope}: nothing is missing and nothing was altered.${others > 0 ? ` ${number(others)} facts to weigh.` : ''}`;
  }
  return `${scope}: ${number(critical)} critical ${critical === 1 ? 'defect' : 'defects'}, each named below.`;
}

const section = (title: string, content: Content): Markup => html`<section><h2>${title}</h2>
${content}</section>`;

const facts = (pairs: readonly (readonly [name: string, value: string])[]): Markup => html`<table class="facts"><tbody>
${pairs.map(
  ([name, value]) => html`<tr><th scope="row">${name}</th><td><code>${value}</code></td></tr>
`,
)}</tbody></table>
`;

function audited({ archive, head, atMs, figures }: AuditReport): readonly (readonly [string, string])[] {
  const { acts, boots, evidence, entries, statements, purged, entryBytes, blobs } = figures;
  return [
    ['archive', archive],
    ['at, by the archive’s clock', new Date(atMs).toISOString()],
    ['head of its log', head ? `${number(head.size)} acts, root ${hex(head.root)}` : 'none'],
    ['acts', number(acts)],
    ['boots', number(boots)],
    ['reports', number(evidence)],
    ['entries', `${number(entries)}, ${number(entryBytes)} bytes; ${number(purged)} purged`],
    ['signed statements', number(statements)],
    ['blobs', number(blobs)],
  ];
}

const RANK = { critical: 0, warning: 1, info: 2 } as const;
const MARK = { critical: 'fail', warning: 'skipped', info: 'skipped' } as const;

function defects({ findings, unlisted }: AuditReport): Content {
  const more = Object.entries(unlisted).map(
    ([code, count]) => html`<p>${number(count)} more of ${code}.</p>
`,
  );
  if (findings.length === 0) return html`<p>None.</p>`;
  const sorted = [...findings].sort((a, b) => RANK[a.severity] - RANK[b.severity]);
  const rows = sorted.map((one) => [
    html`<span class="${MARK[one.severity]}">${one.severity}</span>`,
    html`<strong>${one.code}</strong>`,
    html`<code>${placeOf(one)}</code>`,
    one.text,
    one.act === null ? 'now' : `act ${one.act}`,
  ]);
  return [table(['severity', 'code', 'place', 'what', 'recorded'], rows), more];
}

/** Where a finding lies, in one line. */
export function placeOf({ boot, index, object }: Pick<AuditFinding, 'boot' | 'index' | 'object'>): string {
  const parts = [boot === null ? '' : `boot ${boot}`, index === null ? '' : `entry ${index}`, object ?? ''];
  return parts.filter((part) => part !== '').join(', ') || 'the archive';
}

function passes({ figures }: AuditReport): Markup {
  const rows = PASSES.map((pass) => {
    const { items, seconds, cpuSeconds } = figures.passes[pass];
    const rate = seconds > 0 ? `${number(Math.round(items / seconds))}/s` : '';
    return [pass, number(items), seconds.toFixed(2), cpuSeconds.toFixed(2), rate];
  });
  return table(['pass', 'items', 'seconds', 'CPU seconds', `rate, ${figures.threads} threads`], rows);
}
