import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { ALL_ROWS, type AssessInput, type AttestationResult, assess, renderHtml } from '../../verifier/index.ts';
import { NITRO_VERIFY_ROWS } from '../../verifier/nitro/rows.ts';
import { chainOf, LINKS } from '../../verifier/report/chain.ts';
import { html } from '../../verifier/report/markup.ts';
import { type Answer, AT, anchorsOf, MiniEnclave, MODEL, type Tick } from '../support/mini-enclave.ts';

const nonce = new Uint8Array(randomBytes(32));
const enclave = new MiniEnclave();
let answer: Answer;
let tick: Tick;
let judge: (file: Uint8Array, more?: Partial<AssessInput>) => Promise<AttestationResult>;

beforeAll(async () => {
  answer = await enclave.infer({ nonce });
  tick = await enclave.tick();
  const trustAnchors = await anchorsOf(tick);
  judge = (file, more = {}) => assess({ file, policy: 'builtin:authenticity', at: AT, trustAnchors, ...more });
});

/** The page's markup by a reader that knows nothing of how it was made: what stands between < and >, and the rest. */
const markup = (page: string): string[] => [...page.matchAll(/<[^>]*>/g)].map(([tag]) => tag);
const tags = (page: string): string[] => markup(page).map((tag) => /^<\/?!?([\w-]*)/.exec(tag)?.[1] ?? tag);
const ALLOWED_TAGS = new Set(
  'doctype html head meta title style body h1 h2 p section ul li table thead tbody tr th td code strong span footer svg g rect text line path'.split(
    ' ',
  ),
);
const ALLOWED_ATTRIBUTES = new Set(
  'lang charset http-equiv content name class scope viewBox width height role aria-label x y x1 y1 x2 y2 rx d'.split(
    ' ',
  ),
);

/** Only elements and attributes that can neither run nor load anything, all of them quoted, no angle bracket astray. */
function harmless(page: string): void {
  expect(tags(page).filter((tag) => !ALLOWED_TAGS.has(tag))).toEqual([]);
  for (const tag of markup(page)) {
    const rest = tag.replace(/^<\/?[\w-]+/, '').replace(/^<!doctype html/, '');
    const attributes = [...rest.matchAll(/\s([\w-]+)="([^"]*)"/g)];
    expect(attributes.map(([, name]) => name).filter((name) => !ALLOWED_ATTRIBUTES.has(name!))).toEqual([]);
    expect(rest.replace(/\s([\w-]+)="([^"]*)"/g, '')).toMatch(/^\/?>$/);
  }
  const text = page.replace(/<[^>]*>/g, '');
  expect(text).not.toMatch(/[<\p{Cf}]/u);
  const style = /<style>([^<]*)<\/style>/.exec(page)?.[1];
  expect(style).not.toMatch(/url\(|@import|expression/);
}

const states = (result: AttestationResult): string[] => chainOf(result).map(({ title, state }) => `${title}: ${state}`);

describe('the chain of trust', () => {
  test('of a receipt with everything its owner knows holds in every link that was asked for', async () => {
    const result = await judge(enclave.receipt(answer, tick), {
      expected: { nonce, request: answer.request, response: answer.response },
    });
    expect(states(result)).toEqual([
      'Trust anchor: pass',
      'Intermediate certificate: pass',
      'Signing certificate: pass',
      'Hardware report: pass',
      'Program measured at launch: skipped',
      'REPORT_DATA: pass',
      'Checkpoint of the log: pass',
      'Merkle path: pass',
      'Statement: pass',
      'Request you hold: pass',
      'Response you hold: pass',
    ]);
    harmless(renderHtml(result));
  });

  test('ends where the refusal was: what lies behind it is not checked', async () => {
    const broken = await enclave.tick({ checkpoint: (note) => note.replace(/\n— (\S+) \S{8}/, '\n— $1 AAAAAAAA') });
    const result = await judge(enclave.receipt(answer, broken));
    expect(result.findings.map(({ code }) => code)).toEqual(['CHECKPOINT_INVALID']);
    const after = states(result);
    expect(after.indexOf('Checkpoint of the log: fail')).toBeGreaterThan(0);
    expect(after.slice(after.indexOf('Checkpoint of the log: fail') + 1)).toEqual([
      'Merkle path: skipped',
      'Statement: skipped',
      'Request you hold: skipped',
      'Response you hold: skipped',
    ]);
    const page = renderHtml(result);
    expect(page).toContain('Checkpoint of the log broken');
    expect(page).toContain('CHECKPOINT_INVALID');
    expect(page).toContain('Do not rely on this receipt.');
  });

  test('of an untrusted file has nothing green', async () => {
    const result = await judge(tick.file, { trustAnchors: [] });
    expect(chainOf(result)[0]?.state).toBe('fail');
    expect(states(result).filter((state) => /^(?!REPORT_DATA).*: pass/.test(state))).toEqual([]);
  });

  test('names rows that exist', () => {
    const known = new Set([...ALL_ROWS, ...NITRO_VERIFY_ROWS].map(({ id }) => id));
    expect(LINKS.flatMap(({ rows }) => rows.flat()).filter((id) => !known.has(id))).toEqual([]);
  });
});

describe('the page', () => {
  test.each([
    ['a receipt', async () => enclave.receipt(answer, tick), 'vouches for the answer that this receipt records'],
    [
      'a session-signed receipt',
      async () => enclave.receipt(await enclave.infer(), tick),
      'though not yet for the answer itself',
    ],
    ['an attestation', async () => (await enclave.attestation([nonce])).file, 'the session key and the log'],
    ['evidence', async () => tick.file, 'by an unidentified program'],
    ['an unknown file', async () => new Uint8Array(3), 'Neither yes nor no'],
    ['a malformed file', async () => tick.file.subarray(0, -1), 'Do not rely on this evidence file'],
  ])('of %s says in words what it means', async (_, make, words) => {
    const result = await judge(await make());
    const page = renderHtml(result);
    expect(page).toContain(words);
    harmless(page);
    for (const { id } of result.checks) expect(page).toContain(`<code>${id}</code>`);
    for (const text of result.notChecked) expect(page).toContain(html`<li>${text}</li>`.text);
    for (const { code, expected, actual } of result.findings) {
      expect(page).toContain(html`<strong>${code}</strong></td>`.text);
      expect(page).toContain(html`<td>${expected}</td><td>${actual}</td>`.text);
    }
  });

  test('is the same for the same result', async () => {
    const file = { name: 'answer.veritee', content: enclave.receipt(answer, tick) };
    const first = renderHtml(await judge(file.content), { file, producer: 'veritee 0.1.0' });
    expect(renderHtml(await judge(file.content), { file, producer: 'veritee 0.1.0' })).toBe(first);
    expect(first).toContain('<code>answer.veritee</code>');
    expect(first).toContain('veritee 0.1.0. A check');
  });

  test('shows expected and found beside one another also where a check passed', async () => {
    const page = renderHtml(await judge(enclave.receipt(answer, tick), { expected: { nonce } }));
    const value = Buffer.from(nonce).toString('hex');
    expect(page).toContain(`<td>${value}</td><td>${value}</td>`);
  });

  test('loads nothing and runs nothing, by its own policy', async () => {
    const page = renderHtml(await judge(tick.file));
    const policy = /Content-Security-Policy" content="([^"]+)"/.exec(page)?.[1];
    expect(policy).toMatch(
      /^default-src &#39;none&#39;; style-src &#39;sha256-[A-Za-z0-9+/]{43}=&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;$/,
    );
  });
});

describe('hostile names', () => {
  const HOSTILE = [
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    '</style><svg onload=alert(1)>',
    '</title></text></svg><iframe srcdoc="x">',
    '<!--',
    ']]><foreignObject>',
    '&lt;b&gt; &#x3c;script&#x3e;',
    '\u202emoc.elpmaxe\u0000\u2028',
    '{{constructor.constructor("x")()}}',
  ];

  test.each(HOSTILE)('%j', async (name) => {
    const model = { ...MODEL, name, version: name };
    const own = await enclave.infer({ change: (s) => ({ ...s, model, responseMediaType: name }) });
    const result = await judge(enclave.receipt(own, await enclave.tick()), { expected: { model: { name: 'other' } } });
    expect(result.findings.map(({ code }) => code)).toEqual(['MODEL_MISMATCH']);
    const page = renderHtml(result, { file: { name, content: new Uint8Array(1) }, producer: name });
    harmless(page);
    // The same page with a plain name has the same elements in the same order.
    const plain = await judge(
      enclave.receipt(
        await enclave.infer({
          change: (s) => ({ ...s, model: { ...model, name: 'x', version: 'x' }, responseMediaType: 'x' }),
        }),
        await enclave.tick(),
      ),
      { expected: { model: { name: 'other' } } },
    );
    const plainPage = renderHtml(plain, { file: { name: 'x', content: new Uint8Array(1) }, producer: 'x' });
    expect(tags(page)).toEqual(tags(plainPage));
  });

  test('what cannot be seen is shown', () => {
    expect(html`${'a\u202eb\u0000c\u200d'}`.text).toBe('a\\u{202e}b\\u{0}c\\u{200d}');
    expect(html`${'<&>"\''}`.text).toBe('&lt;&amp;&gt;&quot;&#39;');
    expect(html`<p>${['<', html`<b>${'<'}</b>`, 1]}</p>`.text).toBe('<p>&lt;<b>&lt;</b>1</p>');
  });
});
