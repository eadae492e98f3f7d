import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { run } from '../../cli/program.ts';
import { type AttestationResult, assess, detectKind, parsePolicy, toJson } from '../../verifier/index.ts';
import { nitroImage, strictNitroPolicy } from '../support/policies.ts';
import { sharedFolder } from '../support/shared.ts';
import type { Verdict } from './support.ts';

const FOLDER = sharedFolder('evidence', 'nitro');

interface Case {
  readonly id: string;
  readonly dir: string;
  readonly files: { readonly document: string };
  readonly moduleId: string;
  readonly timestampIso: string;
  readonly pcrs: Readonly<Record<string, string>>;
  readonly debug: boolean;
  readonly nonceLength: number | null;
  readonly expected: string;
  readonly at: string;
  readonly policyNotes?: readonly string[];
}

const cases: readonly Case[] = FOLDER
  ? (JSON.parse(readFileSync(path.join(FOLDER, 'index.json'), 'utf8')).cases as Case[])
  : [];
const valid = cases.filter(({ expected }) => expected === 'valid');
const fileOf = (one: Case): string => path.join(FOLDER ?? '', one.dir, one.files.document);
const bytesOf = (one: Case): Uint8Array => new Uint8Array(readFileSync(fileOf(one)));

/** What is no enclave's evidence, each with its refusal. */
const REFUSED: Readonly<Record<string, readonly [status: number, verdict: string, code: string, row: string]>> = {
  // The same root signs documents of whole instances.
  'attestor-core-20260618-020ed8bb': [4, 'unsupported', 'EVIDENCE_UNSUPPORTED', 'shape.document'],
  'vaportpm-20260201-799ae6d1': [4, 'unsupported', 'EVIDENCE_UNSUPPORTED', 'shape.document'],
  'vaportpm-20260203-8df53057': [4, 'unsupported', 'EVIDENCE_UNSUPPORTED', 'shape.document'],
  'bedrock-20250829-bfd95b4b': [1, 'contraindicated', 'ENDORSEMENT_MALFORMED', 'nitro.chain.shape'],
  'nitrite-badtime-e388022c': [1, 'contraindicated', 'EVIDENCE_MALFORMED', 'shape.document'],
};

/** `veritee …` in this process: its status and what it printed. */
async function cli(args: readonly string[]): Promise<{ status: number; text: string; result: Verdict }> {
  let text = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((part) => {
    text += String(part);
    return true;
  });
  try {
    const status = await run(args);
    return { status, text, result: JSON.parse(text) as Verdict };
  } finally {
    write.mockRestore();
  }
}

const verify = (one: Case, policy: string, at = one.at, more: readonly string[] = []) =>
  cli(['verify', fileOf(one), '--policy', policy, '--at', at, ...more, '--json']);
const codesOf = ({ findings }: { readonly findings: readonly { readonly code: string }[] }): string[] =>
  findings.map(({ code }) => code);
const failedOf = ({ checks }: Pick<AttestationResult, 'checks'> | Verdict): string[] =>
  checks.flatMap(({ id, outcome }) => (outcome === 'fail' ? [id] : []));
const outcomeOf = (result: Verdict, id: string): string | undefined =>
  result.checks.find((check) => check.id === id)?.outcome;

describe.skipIf(!FOLDER)('real Nitro documents by the command', () => {
  let folder: string;
  let strict: string;

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'veritee-nitro-'));
    strict = path.join(folder, 'strict.json');
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('the index is the one known here', () => {
    expect(valid.length).toBeGreaterThanOrEqual(79);
    const others = cases.filter(({ expected }) => expected !== 'valid').map(({ id }) => id);
    expect(others.sort()).toEqual(Object.keys(REFUSED).sort());
  });

  test.each(valid)('$id is genuine', async (one) => {
    expect(detectKind(bytesOf(one))).toBe('nitro-document');
    const ran = await verify(one, 'builtin:authenticity');
    expect(codesOf(ran.result)).toEqual([]);
    expect(ran.status).toBe(0);
    expect(ran.result).toMatchObject({
      verdict: 'affirming',
      kind: 'nitro-document',
      strength: null,
      platform: 'nitro',
      at: new Date(one.at).toISOString(),
      validAt: one.timestampIso,
      timeSource: 'evidence',
      existedBy: one.timestampIso,
      claims: {
        moduleId: one.moduleId,
        timestamp: one.timestampIso,
        digest: 'SHA384',
        debug: one.debug,
        pcrs: one.pcrs,
        anchor: { platform: 'nitro', name: 'aws.nitro-enclaves' },
      },
    });
    // Every row of Nitro was asked, none of SNP.
    for (const { id, outcome } of ran.result.checks) {
      if (id.startsWith('nitro.')) expect([id, outcome]).toEqual([id, 'pass']);
      if (id.startsWith('snp.')) expect([id, outcome]).toEqual([id, 'skipped']);
    }
    const library = await assess({ file: bytesOf(one), policy: 'builtin:authenticity', at: new Date(one.at) });
    expect(ran.result).toEqual(JSON.parse(JSON.stringify(toJson(library))));
  });

  test.each(Object.entries(REFUSED))('%s is refused', async (id, [status, verdict, code, row]) => {
    const one = cases.find((candidate) => candidate.id === id);
    if (!one) throw new Error(`${id} is not in the index`);
    const ran = await verify(one, 'builtin:authenticity');
    expect([ran.status, ran.result.verdict, codesOf(ran.result), failedOf(ran.result)]).toEqual([
      status,
      verdict,
      [code],
      [row],
    ]);
  });

  test.each(valid)('$id under a strict policy is refused for its notes and for nothing else', async (one) => {
    // Its own registers, so that each refusal has one cause; a debug enclave has none that name a program.
    const image = one.debug ? 'any-unidentified-program' : [nitroImage(one.pcrs)];
    writeFileSync(strict, JSON.stringify(strictNitroPolicy({}, { referenceValues: image })));
    const ran = await verify(one, strict);
    const notes = one.policyNotes ?? [];
    expect(notes.filter((note) => !note.startsWith('debug enclave'))).toEqual([]);
    expect(notes.length > 0).toBe(one.debug);
    expect([ran.status, codesOf(ran.result)]).toEqual(one.debug ? [1, ['DEBUG_ENABLED']] : [0, []]);
  });

  test.each(valid.filter(({ debug }) => !debug))('$id is not another program', async (one) => {
    const policy = parsePolicy(strictNitroPolicy());
    const result = await assess({ file: bytesOf(one), policy, at: new Date(one.at) });
    expect(result.verdict).toBe('contraindicated');
    expect(new Set(codesOf(result))).toEqual(new Set(['MEASUREMENT_UNKNOWN']));
  });

  test.each(valid)('policy init drafts from $id what accepts it', async (one) => {
    const drafted = await cli(['policy', 'init', fileOf(one), '--at', one.at]);
    expect(drafted.status).toBe(0);
    expect(drafted.text.includes('THIS ENCLAVE IS IN DEBUG MODE')).toBe(one.debug);
    const draft = path.join(folder, 'draft.json');
    writeFileSync(draft, drafted.text);
    const ran = await verify(one, draft);
    expect([ran.status, codesOf(ran.result)]).toEqual([0, []]);
  });

  test('a document is archived: years later it is as genuine, and as old as a policy says', async () => {
    const [one] = valid as [Case];
    const later = '2040-01-01T00:00:00Z';
    expect(await verify(one, 'builtin:authenticity', later)).toMatchObject({
      status: 0,
      result: { validAt: one.timestampIso, timeSource: 'evidence', existedBy: one.timestampIso },
    });
    writeFileSync(
      strict,
      JSON.stringify(
        strictNitroPolicy({}, { referenceValues: 'any-unidentified-program', debug: 'allow-debug-no-confidentiality' }),
      ),
    );
    const old = await verify(one, strict, later);
    expect([old.status, codesOf(old.result), failedOf(old.result)]).toEqual([
      1,
      ['DOCUMENT_TOO_OLD'],
      ['policy.nitro-document-age'],
    ]);
  });

  test('a document is not of the future, but for a minute', async () => {
    const [one] = valid as [Case];
    const before = (ms: number) => new Date(Date.parse(one.timestampIso) - ms).toISOString();
    expect((await verify(one, 'builtin:authenticity', before(60_000))).status).toBe(0);
    const early = await verify(one, 'builtin:authenticity', before(60_001));
    expect([early.status, codesOf(early.result), failedOf(early.result)]).toEqual([
      1,
      ['DOCUMENT_FROM_FUTURE'],
      ['nitro.not-from-future'],
    ]);
    expect(early.result).toMatchObject({ platform: null, existedBy: null, claims: {} });
  });

  test('its own nonce is asked for, and another is refused', async () => {
    const one = valid.find(({ nonceLength }) => nonceLength !== null && nonceLength >= 8 && nonceLength <= 64);
    if (!one) throw new Error('no case with such a nonce');
    const { claims } = (await verify(one, 'builtin:authenticity')).result;
    const right = await verify(one, 'builtin:authenticity', one.at, ['--nonce', String(claims['nonce'])]);
    expect([right.status, outcomeOf(right.result, 'expected.nonce')]).toEqual([0, 'pass']);
    const wrong = await verify(one, 'builtin:authenticity', one.at, ['--nonce', '00'.repeat(32)]);
    expect([wrong.status, codesOf(wrong.result)]).toEqual([1, ['NONCE_MISMATCH']]);
  });

  test('inspect shows a document without vouching for it', async () => {
    const [one] = valid as [Case];
    const { status, text } = await cli(['inspect', fileOf(one), '--json']);
    expect(status).toBe(0);
    expect(JSON.parse(text)).toMatchObject({ kind: 'nitro-document', unverified: { moduleId: one.moduleId } });
  });
});
