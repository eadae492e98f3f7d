import { describe, expect, test } from 'vitest';
import { hex, MODEL_SET_PCR, modelSetHostData, modelSetPcr, sha256, utf8 } from '../../protocol/index.ts';
import { assess, parsePolicy } from '../../verifier/index.ts';
import { AT, anchorsOf, MiniEnclave, MODEL } from '../support/mini-enclave.ts';
import { strictNitroPolicy, strictPolicy } from '../support/policies.ts';

const set = [sha256(utf8('another model')), MODEL.digest];
const modelSets = [[hex(sha256(utf8('a third model')))], set.map(hex)];
const [build] = strictPolicy().sevSnp.referenceValues;
const demanding = (sets: unknown = modelSets) =>
  parsePolicy(
    strictPolicy({}, { modelBinding: { modelSets: sets }, referenceValues: [{ ...build, hostData: 'unused' }] }),
  );
const launched = { snp: { mutate: (good: object) => ({ ...good, hostData: modelSetHostData(set) }) as never } };

const outcome = ({ checks }: Awaited<ReturnType<typeof assess>>, id: string) =>
  checks.find((check) => check.id === id)?.outcome;
const both = (result: Awaited<ReturnType<typeof assess>>) => [
  outcome(result, 'policy.model-set'),
  outcome(result, 'policy.measured-model'),
];

describe('SEV-SNP', () => {
  const receipt = async (infer: Parameters<MiniEnclave['infer']>[0], policy = demanding()) => {
    const enclave = new MiniEnclave();
    const answer = await enclave.infer(infer);
    const tick = await enclave.tick(launched);
    return assess({ file: enclave.receipt(answer, tick), at: AT, trustAnchors: await anchorsOf(tick), policy });
  };

  test('the set and the model pass', async () => {
    const result = await receipt({});
    expect([result.verdict, ...both(result)]).toEqual(['affirming', 'pass', 'pass']);
  });

  test('a request that no model answered leaves the model open, not the set', async () => {
    const change = (good: object) => ({ ...good, model: null, outcome: 'QUEUE_FULL' }) as never;
    const result = await receipt({ change });
    expect([result.verdict, ...both(result)]).toEqual(['affirming', 'pass', 'skipped']);
  });

  test('a set of which one is missing is another set', async () => {
    const result = await receipt({}, demanding([[hex(MODEL.digest)]]));
    expect(result.findings.map(({ code, claim }) => [code, claim])).toEqual([
      ['MODEL_SET_UNKNOWN', 'HOST_DATA, or PCR16'],
    ]);
    expect(both(result)).toEqual(['fail', 'skipped']);
  });

  test('where the policy does not ask, the result says whose word it is', async () => {
    const result = await receipt({}, parsePolicy(strictPolicy({}, { referenceValues: 'any-unidentified-program' })));
    expect(both(result)).toEqual(['skipped', 'skipped']);
    expect(result.notChecked.join('\n')).toContain('whether hardware measured them');
  });

  test('an attestation is held to the set before anything is sealed', async () => {
    const enclave = new MiniEnclave();
    const nonce = new Uint8Array(32).fill(9);
    const judge = async (tick: object) => {
      const { file, tick: frozen } = await enclave.attestation([nonce], { tick });
      return assess({
        ...{ file, at: AT, trustAnchors: await anchorsOf(frozen), policy: demanding(), expected: { nonce } },
      });
    };
    const good = await judge(launched);
    expect([good.verdict, ...both(good)]).toEqual(['affirming', 'pass', 'skipped']);
    const other = await judge({});
    expect(other.findings.map(({ code }) => code)).toEqual(['MODEL_SET_UNKNOWN']);
    expect(other).not.toHaveProperty('sealingKeys');
  });
});

test('Nitro: the set and the model pass by PCR16', async () => {
  const enclave = new MiniEnclave();
  const answer = await enclave.infer();
  const pcrs = new Map([MODEL_SET_PCR].map((index) => [index, modelSetPcr(set)] as const));
  const tick = await enclave.nitroTick({ nitro: { pcrs, at: AT } });
  const policy = parsePolicy(
    strictNitroPolicy({}, { modelBinding: { modelSets }, referenceValues: 'any-unidentified-program' }),
  );
  const result = await assess({
    ...{ file: enclave.receipt(answer, tick), at: AT, trustAnchors: await anchorsOf(tick), policy },
  });
  expect(result.findings).toEqual([]);
  expect(both(result)).toEqual(['pass', 'pass']);
});
