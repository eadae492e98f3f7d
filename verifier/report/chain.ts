/** The chain of trust as a drawing: from the caller's policy down to the bytes it holds, a check behind every link. */
import { hex } from '@veritee/protocol';
import type { AttestationResult } from '../appraise/result.ts';
import type { Check } from '../checks.ts';
import type { Kind } from '../kind.ts';
import { type Content, html, type Markup } from './markup.ts';

export type LinkState = 'pass' | 'fail' | 'skipped';

/** One thing that is trusted because of the one above it. */
export interface Link {
  readonly title: string;
  /** What the result says of it. */
  readonly value: (result: AttestationResult) => string;
  /** Rows behind the link from above, by platform; the first row decides where none failed. */
  readonly rows: readonly (readonly string[])[];
  /** The kinds of file that have it; all when absent. */
  readonly kinds?: readonly Kind[];
}

const LOGGED = ['receipt', 'attestation', 'evidence'] as const;
const SHOWN_HEX = 24;
const short = (value: Uint8Array | undefined): string => (value ? `${hex(value).slice(0, SHOWN_HEX)}…` : '');

const AIR_LINKS: readonly Link[] = [
  { title: 'Signing key you named', value: ({ claims }) => short(claims.air?.key), rows: [['air.key']] },
  {
    title: 'AIR receipt',
    value: ({ claims }) => (claims.air ? hex(claims.air.receiptId) : ''),
    rows: [['air.signature', 'air.envelope', 'air.claims']],
  },
  {
    title: 'Request you hold',
    value: ({ claims }) => short(claims.air?.requestHash),
    rows: [['expected.request', 'expected.nonce']],
  },
  { title: 'Response you hold', value: ({ claims }) => short(claims.air?.responseHash), rows: [['expected.response']] },
  { title: 'Hardware', value: () => 'no evidence of it in this file', rows: [['policy.platform']] },
];

const EVIDENCE_LINKS: readonly Link[] = [
  {
    title: 'Trust anchor',
    value: ({ claims }) => claims.anchor?.name ?? '',
    rows: [['snp.chain.root'], ['nitro.chain.root']],
  },
  {
    title: 'Intermediate certificate',
    value: () => '',
    rows: [
      ['snp.chain.intermediate', 'snp.chain.profile', 'snp.revocation'],
      ['nitro.chain.intermediates', 'nitro.chain.profile'],
    ],
  },
  {
    title: 'Signing certificate',
    value: ({ claims }) => claims.signer ?? claims.leaf?.subjectCN ?? '',
    rows: [
      ['snp.chain.leaf', 'snp.chain.time', 'snp.signing-key'],
      ['nitro.chain.leaf', 'nitro.chain.time'],
    ],
  },
  {
    title: 'Hardware report',
    value: ({ claims }) => claims.product ?? claims.instanceId ?? '',
    rows: [
      ['snp.signature', 'snp.product', 'snp.reserved', 'snp.tcb-certificate', 'snp.chip-id'],
      ['nitro.signature', 'nitro.timestamp', 'nitro.module', 'nitro.not-from-future'],
    ],
  },
  {
    title: 'Program measured at launch',
    value: ({ claims }) => short(claims.measurement ?? claims.pcrs?.[0]),
    rows: [
      ['policy.measurement', 'policy.host-data', 'policy.debug'],
      ['policy.nitro-pcr0', 'policy.nitro-pcr1', 'policy.nitro-pcr2', 'policy.nitro-pcr8', 'policy.nitro-debug'],
    ],
  },
  {
    title: 'REPORT_DATA',
    value: ({ claims }) => short(claims.reportData ?? claims.userData ?? undefined),
    rows: [['binding.report-data', 'session.claims', 'session.key', 'session.boot-id']],
    kinds: LOGGED,
  },
  {
    title: 'Checkpoint of the log',
    value: ({ claims }) => (claims.checkpoint ? `${claims.checkpoint.size} entries` : ''),
    rows: [['checkpoint.signature']],
    kinds: LOGGED,
  },
  {
    title: 'Nonce in the log',
    value: ({ claims }) => short(claims.challenge?.nonce),
    rows: [['challenge.inclusion', 'challenge.signature', 'challenge.nonce', 'expected.nonce']],
    kinds: ['attestation'],
  },
  {
    title: 'Sealing keys in force',
    value: ({ claims }) => (claims.keyConfigs ? String(claims.keyConfigs.length) : ''),
    rows: [['key.in-force', 'key.inclusion', 'key.signature']],
    kinds: ['attestation'],
  },
  {
    title: 'Merkle path',
    value: ({ claims }) => (claims.sequence === undefined ? '' : `to entry ${claims.sequence}`),
    rows: [['inclusion.path', 'policy.strength']],
    kinds: ['receipt'],
  },
  {
    title: 'Statement',
    value: ({ claims }) => (claims.receiptId ? hex(claims.receiptId) : ''),
    rows: [['statement.signature', 'statement.session', 'statement.model']],
    kinds: ['receipt'],
  },
  {
    title: 'Request you hold',
    value: ({ claims }) => short(claims.requestDigest),
    rows: [['expected.request', 'expected.nonce']],
    kinds: ['receipt'],
  },
  {
    title: 'Response you hold',
    value: ({ claims }) => short(claims.responseDigest),
    rows: [['expected.response']],
    kinds: ['receipt'],
  },
];

export const LINKS: readonly Link[] = [...EVIDENCE_LINKS, ...AIR_LINKS];

interface Drawn {
  readonly title: string;
  readonly value: string;
  readonly checks: readonly Check[];
  readonly state: LinkState;
}

/** The links this result has, each with its checks; nothing green without a check that passed. */
export function chainOf(result: AttestationResult): readonly Drawn[] {
  const byId = new Map(result.checks.map((check) => [check.id, check]));
  const links =
    result.kind === 'air-receipt'
      ? AIR_LINKS
      : EVIDENCE_LINKS.filter(({ kinds }) => !kinds || (result.kind !== null && kinds.includes(result.kind)));
  return links.map(({ title, value, rows }) => {
    const sets = rows.map((ids) => ids.flatMap((id) => byId.get(id) ?? []));
    const checks =
      sets.find((set) => set.some(({ outcome }) => outcome !== 'skipped')) ?? sets.at(platformSet(result)) ?? [];
    return { title, value: value(result), checks, state: stateOf(checks) };
  });
}

/** Where nothing was checked, the rows of the platform that was verified. */
const platformSet = ({ platform }: AttestationResult): 0 | -1 => (platform?.endsWith('nitro') ? -1 : 0);

function stateOf(checks: readonly Check[]): LinkState {
  if (checks.some(({ outcome }) => outcome === 'fail')) return 'fail';
  return checks[0]?.outcome ?? 'skipped';
}

export const MARK: Readonly<Record<LinkState, string>> = { pass: '✓', fail: '✗', skipped: '–' };
const SAID: Readonly<Record<LinkState, string>> = { pass: 'holds', fail: 'broken', skipped: 'not checked' };

const WIDTH = 640;
const BOX = { x: 8, width: 624, height: 34 } as const;
const LINE_X = 40;
const ROW_HEIGHT = 17;
const GAP_PADDING = 14;

export function drawChain(result: AttestationResult): Markup {
  const links = chainOf(result);
  const parts: Content[] = [box(0, 'You', `policy ${result.policy}, at ${result.at.toISOString()}`, 'own')];
  let y: number = BOX.height;
  for (const link of links) {
    const gap = GAP_PADDING + ROW_HEIGHT * link.checks.length;
    parts.push(arrow(y, gap, link));
    y += gap;
    parts.push(box(y, link.title, link.value, link.state));
    y += BOX.height;
  }
  const summary = links.map(({ title, state }) => `${title} ${SAID[state]}`).join('; ');
  return html`<svg viewBox="0 0 ${WIDTH} ${y + 2}" width="${WIDTH}" role="img" aria-label="${`Chain of trust: ${summary}`}">
${parts}</svg>`;
}

const SHOWN_VALUE = 56;
const cut = (value: string): string => (value.length > SHOWN_VALUE ? `${value.slice(0, SHOWN_VALUE)}…` : value);

const box = (y: number, title: string, value: string, state: string): Markup =>
  html`<g class="${state}"><rect x="${BOX.x}" y="${y + 1}" width="${BOX.width}" height="${BOX.height}" rx="6"/>
<text class="title" x="${BOX.x + 12}" y="${y + 22}">${title}</text>
<text class="value" x="${BOX.x + BOX.width - 12}" y="${y + 22}">${cut(value)}</text></g>
`;

function arrow(y: number, gap: number, { checks, state }: Drawn): Markup {
  const top = y + 1;
  const tip = y + gap;
  const rows = checks.map(
    ({ id, outcome }, i) =>
      html`<text class="row ${outcome}" x="${LINE_X + 22}" y="${top + 18 + i * ROW_HEIGHT}">${MARK[outcome]} ${id}</text>
`,
  );
  return html`<g class="${state}"><line x1="${LINE_X}" y1="${top}" x2="${LINE_X}" y2="${tip - 6}"/>
<path d="M${LINE_X - 6} ${tip - 8}h12l-6 9z"/></g>
${rows}`;
}
