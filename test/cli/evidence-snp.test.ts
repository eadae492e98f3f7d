import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { run } from '../../cli/program.ts';
import { veritee } from '../support/cli.ts';
import { strictPolicy } from '../support/policies.ts';
import { sharedFolder } from '../support/shared.ts';
import { jsonOf, type Verdict } from './support.ts';

const FOLDER = sharedFolder('evidence', 'snp');

interface Case {
  readonly id: string;
  readonly dir: string;
  readonly files: {
    readonly report: string;
    readonly signerCert?: string;
    readonly intermediate?: string;
    readonly root?: string;
    readonly certTable?: string;
    readonly hclReport?: string;
  };
  readonly product: string;
  readonly reportVersion: number;
  readonly signer: 'VCEK' | 'VLEK';
  readonly expected: string;
  readonly validFrom?: string;
  readonly validTo?: string;
  readonly facts?: { readonly policyNotes?: readonly string[] };
}

interface Index {
  readonly cases: readonly Case[];
  readonly crls: readonly { readonly file: string; readonly product: string; readonly nextUpdate: string }[];
}

const index: Index = FOLDER
  ? JSON.parse(readFileSync(path.join(FOLDER, 'index.json'), 'utf8'))
  : { cases: [], crls: [] };
const cases = index.cases;
const valid = cases.filter(({ expected }) => expected === 'valid');

/** What the index leaves to us, and what each refusal is for: decided and explained. */
const REFUSED: Readonly<Record<string, readonly [code: string, row: string]>> = {
  'neg-milan-v2-trustee-vcek-legacy-other-chip': ['CHAIN_UNTRUSTED', 'snp.chain.leaf'],
  'neg-milan-vlek-v2-constellation': ['SIGNATURE_INVALID', 'snp.signature'],
  // The ASVK is pinned and the evidence genuine, but every certificate that is given must belong to the chain.
  'neg-mix-vlek-under-ask': ['CERTIFICATE_INVALID', 'snp.chain.profile'],
  'neg-mix-azure-report-other-vcek': ['SIGNATURE_INVALID', 'snp.signature'],
  'unverified-milan-v4-gce-openpcc': ['ENDORSEMENT_MISSING', 'snp.chain.shape'],
  'unverified-genoa-v5-tinfoil-bit6': ['ENDORSEMENT_MISSING', 'snp.chain.shape'],
  'unverified-milan-v2-lit-good': ['ENDORSEMENT_MISSING', 'snp.chain.shape'],
  'unverified-milan-v2-lit-bad-sig': ['ENDORSEMENT_MISSING', 'snp.chain.shape'],
};

/** What a strict policy answers to each note of the index. */
const NOTE_CODE: readonly (readonly [note: string, code: string])[] = [
  ['policy DEBUG=1', 'DEBUG_ENABLED'],
  ['committed TCB differs', 'TCB_PROVISIONAL'],
  ['ALIAS_CHECK_COMPLETE is 0', 'ALIAS_CHECK_MISSING'],
  ['author key present', 'AUTHOR_KEY_MISMATCH'],
  ['VMPL is not 0', 'VMPL_NOT_ALLOWED'],
  ['PLATFORM_INFO bit 6 is set', 'PLATFORM_INFO_UNKNOWN'],
  // Only reports signed with a VLEK are without a chip here, and a strict policy wants a chip's own key.
  ['CHIP_ID is all zero', 'SIGNING_KEY_NOT_ALLOWED'],
];

const middle = ({ validFrom, validTo }: Case): string =>
  validFrom && validTo
    ? new Date((Date.parse(validFrom) + Date.parse(validTo)) / 2).toISOString()
    : '2026-01-15T00:00:00Z';

const file = (one: Case, name: string): string => path.join(FOLDER ?? '', one.dir, name);
const endorsements = (one: Case): string[] =>
  [one.files.signerCert, one.files.intermediate, one.files.root].flatMap((name) =>
    name === undefined ? [] : ['--endorsement', file(one, name)],
  );

/** `veritee …` in this process: its status and what it printed. */
async function cli(args: readonly string[]): Promise<{ status: number; result: Verdict }> {
  let stdout = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += String(text);
    return true;
  });
  try {
    const status = await run(args);
    return { status, result: JSON.parse(stdout) as Verdict };
  } finally {
    write.mockRestore();
  }
}

const verify = (name: string, one: Case, policy: string, more: readonly string[] = endorsements(one)) =>
  cli(['verify', name, '--policy', policy, ...more, '--at', middle(one), '--json']);

const findings = ({ result }: { readonly result: Verdict }): string[] => result.findings.map(({ code }) => code);
const failed = ({ result }: { readonly result: Verdict }): string[] =>
  result.checks.flatMap(({ id, outcome }) => (outcome === 'fail' ? [id] : []));

describe.skipIf(!FOLDER)('real SNP evidence by the command', () => {
  let folder: string;
  let strict: string;

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'veritee-snp-'));
    strict = path.join(folder, 'strict.json');
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('the index is the one known here', () => {
    expect(cases.length).toBeGreaterThanOrEqual(35);
    const others = cases.filter(({ expected }) => expected !== 'valid').map(({ id }) => id);
    expect(others.sort()).toEqual(Object.keys(REFUSED).sort());
  });

  test.each(valid)('$id is genuine', async (one) => {
    const ran = await verify(file(one, one.files.report), one, 'builtin:authenticity');
    expect(findings(ran)).toEqual([]);
    expect(ran.status).toBe(0);
    expect(ran.result).toMatchObject({
      verdict: 'affirming',
      strength: null,
      platform: 'snp',
      policy: 'builtin:authenticity',
      at: middle(one),
      claims: { product: one.product, reportVersion: one.reportVersion, signer: one.signer },
    });
  });

  test.each(cases.filter(({ expected }) => expected !== 'valid'))('$id is refused', async (one) => {
    const ran = await verify(file(one, one.files.report), one, 'builtin:authenticity');
    expect([ran.status, ran.result.verdict]).toEqual([1, 'contraindicated']);
    const [code, row] = REFUSED[one.id] ?? [];
    expect([findings(ran), failed(ran)]).toEqual([[code], [row]]);
  });

  test.each(valid)('$id under a strict policy is refused for its notes and for nothing else', async (one) => {
    // Everything else that a policy can ask for is fitted to the report, so that each refusal has one cause.
    const genuine = await verify(file(one, one.files.report), one, 'builtin:authenticity');
    const { measurement, hostData, tcb, idKeyDigest, cpuid } = genuine.result.claims as {
      readonly measurement: string;
      readonly hostData: string;
      readonly idKeyDigest: string;
      readonly cpuid: { readonly model: number } | null;
      readonly tcb: { readonly reported: Record<string, number | string> };
    };
    const { layout: _, ...parts } = tcb.reported;
    const authorKeyDigest = '00'.repeat(48); // none: 'unused' would leave it uncompared
    const build = { name: one.id, measurement, hostData, vmpl: 0, idKeyDigest, authorKeyDigest };
    const policy = strictPolicy(
      {},
      {
        products: [one.product],
        referenceValues: [build],
        minimumTcb: [{ product: one.product, cpuidModels: cpuid ? [cpuid.model] : 'any', ...parts }],
      },
    );
    writeFileSync(strict, JSON.stringify(policy));
    const ran = await verify(file(one, one.files.report), one, strict);
    const notes = one.facts?.policyNotes ?? [];
    const known = NOTE_CODE.filter(([note]) => notes.some((text) => text.startsWith(note)));
    expect(known).toHaveLength(notes.length);
    expect(findings(ran).sort()).toEqual(known.map(([, code]) => code).sort());
    expect([ran.status, ran.result.verdict]).toEqual(notes.length > 0 ? [1, 'contraindicated'] : [0, 'affirming']);
  });

  const tables = valid.filter(({ files }) => files.certTable !== undefined);
  test.each(tables)('$id is genuine by its certificate table alone', async (one) => {
    const table = ['--endorsement', file(one, one.files.certTable ?? '')];
    const ran = await verify(file(one, one.files.report), one, 'builtin:authenticity', table);
    expect([ran.status, findings(ran)]).toEqual([0, []]);
  });

  const wrapped = valid.filter(({ files }) => files.hclReport !== undefined);
  test.each(wrapped)('$id is genuine as Azure wraps it, with its claims', async (one) => {
    const ran = await verify(file(one, one.files.hclReport ?? ''), one, 'builtin:authenticity');
    expect([ran.status, findings(ran)]).toEqual([0, []]);
    expect(ran.result).toMatchObject({ kind: 'snp-hcl', claims: { runtimeClaims: { keys: expect.any(Array) } } });
    expect(ran.result.notChecked.join()).toContain('TPM quote');
  });

  test('there is a table and an HCL report among them', () => {
    expect([tables.length, wrapped.length]).toEqual([1, 1]);
  });

  test.each(index.crls)(
    '$file is read with evidence of its product, and shown',
    async ({ file: name, product, nextUpdate }) => {
      const one = valid.find((candidate) => candidate.product === product && candidate.signer === 'VCEK');
      if (!one) throw new Error('no such case');
      const at = new Date(Date.parse(nextUpdate) - 1000);
      const inside = valid.find(
        (candidate) =>
          candidate.product === product &&
          Date.parse(candidate.validFrom ?? '') <= at.getTime() &&
          at.getTime() <= Date.parse(candidate.validTo ?? ''),
      );
      if (!inside) throw new Error('no case of that time');
      const args = (time: Date) => [
        ...['verify', file(inside, inside.files.report), '--policy', 'builtin:authenticity', ...endorsements(inside)],
        ...['--crl', path.join(FOLDER ?? '', name), '--at', time.toISOString(), '--json'],
      ];
      const current = await cli(args(at));
      expect([current.status, findings(current)]).toEqual([0, []]);
      expect(current.result.claims['crl']).toMatchObject({ nextUpdate: new Date(nextUpdate).toISOString() });
      const late = await cli(args(new Date(Date.parse(nextUpdate) + 1000)));
      expect([late.status, findings(late)]).toEqual([1, ['CRL_STALE']]);
    },
  );

  test('the revoked ASK-Genoa is refused', async () => {
    const one = valid.find(({ id }) => id === 'genoa-v3-azure-trustee');
    if (!one) throw new Error('no such case');
    const revoked = path.join(FOLDER ?? '', 'crl/ask-genoa-revoked.pem');
    const given = ['--endorsement', file(one, one.files.signerCert ?? ''), '--endorsement', revoked];
    const ran = await verify(file(one, one.files.report), one, 'builtin:authenticity', given);
    expect([ran.status, findings(ran)]).toEqual([1, ['CERTIFICATE_REVOKED']]);
  });

  test('the built command says the same', async () => {
    expect(existsSync(path.join(import.meta.dirname, '../../cli/dist/main.js'))).toBe(true);
    for (const [one, status] of [
      [valid[0], 0],
      [cases.find(({ id }) => id === 'neg-mix-vlek-under-ask'), 1],
    ] as const) {
      if (!one) throw new Error('no such case');
      const args = ['verify', file(one, one.files.report), '--policy', 'builtin:authenticity', ...endorsements(one)];
      const ran = await veritee([...args, '--at', middle(one), '--json']);
      expect(ran.status).toBe(status);
      const inProcess = await cli([...args, '--at', middle(one), '--json']);
      expect(jsonOf(ran)['verdict']).toEqual(inProcess.result.verdict);
    }
  });
});
