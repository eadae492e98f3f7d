/** Everything that Node and the page both decide about: real evidence, the table of refusals, receipts, cut files, policies. */
import { randomBytes } from 'node:crypto';
import { utf8 } from '../../protocol/index.ts';
import { type AssessInput, parsePolicy } from '../../verifier/index.ts';
import { AT, anchorsOf, MiniEnclave } from '../support/mini-enclave.ts';
import { strictPolicy } from '../support/policies.ts';
import { GOOD, REFUSALS } from '../verifier/cases.ts';
import { make as makeNitro, AT as NITRO_AT, anchors as nitroAnchors } from '../verifier/nitro-simulation.ts';
import { documentOf, nitroCases } from '../verifier/nitro-support.ts';
import { midOf, read, SNP_EVIDENCE, snpCases } from '../verifier/snp-support.ts';
import type { Job } from './run.ts';

const policy = 'builtin:authenticity';

/** `genuine`: whether the index calls it valid. */
export type RealJob = Job & { readonly input: AssessInput; readonly genuine: boolean };

const snpJobs = (): readonly RealJob[] =>
  snpCases().flatMap((one) => {
    const files: typeof one.files & { readonly hclReport?: string } = one.files;
    const file = (name: string) => read(SNP_EVIDENCE ?? '', one.dir, name);
    const given = (...names: readonly (string | undefined)[]) => names.filter((name) => name !== undefined);
    const endorsements = given(files.signerCert, files.intermediate).map(file);
    return given(files.report, files.hclReport).map((name) => ({
      name: `snp ${one.id}/${name}`,
      input: { file: file(name), policy, at: midOf(one), endorsements },
      genuine: one.expected === 'valid',
    }));
  });

const nitroJobs = (): readonly RealJob[] =>
  nitroCases().map((one) => ({
    name: `nitro ${one.id}`,
    input: { file: documentOf(one), policy, at: new Date(one.at) },
    genuine: one.expected === 'valid',
  }));

export const realJobs = (): readonly RealJob[] => [...snpJobs(), ...nitroJobs()];

const simulatedNitroJobs = (): readonly Job[] => {
  const file = makeNitro().document;
  return [
    { name: 'simulated nitro', input: { file, policy, at: NITRO_AT, trustAnchors: nitroAnchors } },
    { name: 'simulated nitro, no anchor', input: { file, policy, at: NITRO_AT } },
  ];
};

/** Of both strengths and with all that the caller can know, beside what the table of refusals holds. */
async function receiptJobs(): Promise<readonly Job[]> {
  const nonce = new Uint8Array(randomBytes(32));
  const enclave = new MiniEnclave();
  const covered = await enclave.infer({ nonce });
  const { file: attestation, tick } = await enclave.attestation([nonce, new Uint8Array(randomBytes(32))]);
  const pending = await enclave.infer({ nonce });
  const common = { policy, at: AT, trustAnchors: await anchorsOf(tick) } as const;
  const strict = parsePolicy(strictPolicy({ strength: 'session-signed', freshness: 'nonce-required' }));
  const job = (name: string, input: Partial<AssessInput> & Pick<AssessInput, 'file'>): Job => ({
    name,
    input: { ...common, ...input },
  });
  return [
    job('an attestation that answers the nonce', { file: attestation, expected: { nonce } }),
    job('an attestation for another', { file: attestation, expected: { nonce: new Uint8Array(32) } }),
    job('the evidence file alone', { file: tick.file }),
    ...[covered, pending].flatMap((answer) => {
      const file = enclave.receipt(answer, tick);
      const { request, response } = answer;
      const which = answer === covered ? 'hardware-committed' : 'session-signed';
      const other = { ...response, body: utf8('{"outputs":[3]}') };
      return [
        job(`${which} receipt`, { file }),
        job(`${which} receipt, bodies known`, { file, expected: { nonce, request, response } }),
        job(`${which} receipt, strict policy`, { file, policy: strict, expected: { nonce } }),
        job(`${which} receipt, another response`, { file, expected: { nonce, request, response: other } }),
        job(`${which} receipt, no anchor`, { file, trustAnchors: [] }),
      ];
    }),
  ];
}

const tableJobs = (): Promise<readonly Job[]> =>
  Promise.all([
    ...GOOD.map(async ([name, input]) => ({ name: `good: ${name}`, input: await input() })),
    ...REFUSALS.map(async ({ row, name, input }) => ({ name: `${row}: ${name}`, input: await input() })),
  ]);

const CUTS = 24;

/** The file at lengths all along it, and without its last byte. */
function cutJobs({ name, input }: Job): readonly Job[] {
  if (!input) return [];
  const { length } = input.file;
  const lengths = new Set([...Array.from({ length: CUTS }, (_, i) => Math.floor((i * length) / CUTS)), length - 1]);
  return [...lengths].map((end) => ({
    name: `${name}, cut at ${end}`,
    input: { ...input, file: input.file.subarray(0, end) },
  }));
}

function policyJobs(): readonly Job[] {
  const good = strictPolicy();
  const { freshness: _, ...without } = good;
  const json = (value: unknown): Uint8Array => utf8(JSON.stringify(value));
  const files: readonly (readonly [string, Uint8Array])[] = [
    ['strict', json(good)],
    ['lax', json(strictPolicy({ sevSnp: 'refuse', models: [{ digest: 'ab'.repeat(32) }] }))],
    ['a field short', json(without)],
    ['a field more', json({ ...good, extra: 1 })],
    ['a word that is none', json(strictPolicy({}, { debug: 'maybe' }))],
    ['an anchor of unknown name', json(strictPolicy({ anchors: [{ builtin: 'intel' }] }))],
    ['hexadecimal of another length', json(strictPolicy({}, { chips: ['ab'] }))],
    ['a name twice', utf8(JSON.stringify(good).replace('{', '{"id":"first",'))],
    ['a lone surrogate', utf8('{"id":"\\ud800"}')],
    ['no UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d)],
    ['no JSON', utf8('{')],
    ['nothing', new Uint8Array(0)],
  ];
  return files.map(([name, policyFile]) => ({ name: `policy: ${name}`, policyFile }));
}

/** One of each kind, cut off. */
const TO_CUT = [
  /^snp .*\/report\.bin$/,
  /^snp .*\/hcl-report\.bin$/,
  /^simulated nitro$/,
  /^an attestation that answers the nonce$/,
  /^the evidence file alone$/,
  /^hardware-committed receipt$/,
];

export async function allJobs(): Promise<readonly Job[]> {
  const whole = [...realJobs(), ...simulatedNitroJobs(), ...(await receiptJobs())];
  const cut = TO_CUT.flatMap((pattern) => whole.find(({ name }) => pattern.test(name)) ?? []);
  const jobs = [...whole, ...(await tableJobs()), ...cut.flatMap(cutJobs), ...policyJobs()];
  if (new Set(jobs.map(({ name }) => name)).size !== jobs.length) throw new Error('two jobs of one name');
  return jobs;
}
