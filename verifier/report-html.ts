/**
 * A result as one page for auditors: no script, nothing fetched, every value escaped, and a security policy of its own
 * that would stop a value that got through. The same result gives the same page, byte for byte.
 */
import { base64, CODES, hex, sha256, utf8 } from '@veritee/protocol';
import { type JsonValue, jsonOf } from './appraise/json.ts';
import type { AttestationResult } from './appraise/result.ts';
import { ALL_ROWS } from './assess.ts';
import { drawChain, MARK } from './report/chain.ts';
import { type Content, html, Markup, table } from './report/markup.ts';
import { STYLE } from './report/style.ts';
import { verdictSentence } from './report/words.ts';

export interface ReportOptions {
  /** The bytes that were assessed, so that the page says which they were. */
  readonly file?: { readonly name: string; readonly content: Uint8Array };
  /** Who made the page: `veritee 0.1.0`. */
  readonly producer?: string;
}

const SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${base64(sha256(utf8(STYLE)))}'`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

export function renderHtml(result: AttestationResult, options: ReportOptions = {}): string {
  const { verdict, findings, notChecked } = result;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${SECURITY_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Attestation result: ${verdict}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<h1>Attestation result: ${verdict}</h1>
<p class="sentence ${verdict}">${verdictSentence(result)}</p>
${section('What was assessed', facts(assessed(result, options)))}
${findings.length > 0 ? section('What failed', findingsTable(result)) : ''}
${section('Chain of trust', drawChain(result))}
${section('Not checked', notChecked.length > 0 ? list(notChecked) : html`<p>Nothing was left out.</p>`)}
${section('Checks', checksTable(result))}
${section('Decoded claims', facts(flat(jsonOf(result.claims))))}
<footer>${options.producer ?? 'veritee'}. A check that was not made is never counted as passed. Times named “claimed” are by
the enclave’s own clock and decide nothing.</footer>
</body>
</html>
`.text;
}

const section = (title: string, content: Content): Markup => html`<section><h2>${title}</h2>
${content}</section>`;

const list = (items: readonly string[]): Markup => html`<ul>
${items.map(
  (item) => html`<li>${item}</li>
`,
)}</ul>
`;

type Fact = readonly [name: string, value: string];

const facts = (pairs: readonly Fact[]): Markup => html`<table class="facts"><tbody>
${pairs.map(
  ([name, value]) => html`<tr><th scope="row">${name}</th><td><code>${value}</code></td></tr>
`,
)}</tbody></table>
`;

function assessed(result: AttestationResult, { file }: ReportOptions): readonly Fact[] {
  const { kind, platform, strength, policy, policyDigest, at, validAt, timeSource, existedBy } = result;
  return [
    ...(file
      ? ([
          ['file', file.name],
          ['size', `${file.content.length} bytes`],
          ['SHA-256', hex(sha256(file.content))],
        ] as const)
      : []),
    ['kind', kind ?? 'not recognised'],
    ['platform', platform ?? 'none verified'],
    ['strength', strength ?? 'none'],
    ['policy', policy],
    ['policy digest', hex(policyDigest)],
    ['verified as of', at.toISOString()],
    [
      'chain valid at',
      `${validAt.toISOString()}, by ${timeSource === 'caller' ? 'the caller’s clock' : 'the evidence'}`,
    ],
    ['existed by', existedBy?.toISOString() ?? 'no outside clock says'],
  ];
}

const findingsTable = ({ findings }: AttestationResult): Markup =>
  table(
    ['code', 'claim', 'expected', 'found', 'source', 'what to do'],
    findings.map(({ code, claim, expected, actual, source }) => [
      html`<strong>${code}</strong>`,
      claim,
      expected,
      actual,
      source,
      CODES[code].action,
    ]),
  );

function checksTable({ checks }: AttestationResult): Markup {
  const rowOf = new Map(ALL_ROWS.map((row) => [row.id, row]));
  return table(
    ['outcome', 'check', 'claim', 'expected', 'found', 'source'],
    checks.map(({ id, outcome, detail, expected, actual }) => [
      html`<span class="${outcome}">${MARK[outcome]} ${outcome}</span>`,
      html`<code>${id}</code>`,
      rowOf.get(id)?.claim ?? '',
      expected ?? '',
      actual ?? detail,
      rowOf.get(id)?.source ?? '',
    ]),
  );
}

/** Nested claims by their path: `tcb.reported.snp`. */
function flat(value: JsonValue, path = ''): readonly Fact[] {
  if (typeof value !== 'object' || value === null) return [[path, value === null ? 'none' : String(value)]];
  const entries = Object.entries(value as { readonly [name: string]: JsonValue });
  if (entries.length === 0 && path !== '') return [[path, 'none']];
  return entries.flatMap(([name, item]) => flat(item, path === '' ? name : `${path}.${name}`));
}
