import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type AttestationResult, assess, detectKind, draftPolicy, parsePolicy } from '../../verifier/index.ts';
import { strictPolicy } from '../support/policies.ts';
import { sharedFolder } from '../support/shared.ts';

const FOLDER = sharedFolder('evidence', 'snp') ?? '';
const present = existsSync(path.join(FOLDER, 'index.json'));

interface RealCase {
  readonly id: string;
  readonly dir: string;
  readonly files: { readonly report: string; readonly signerCert?: string; readonly intermediate?: string };
  readonly product: string;
  readonly reportVersion: number;
  readonly signer: 'VCEK' | 'VLEK';
  readonly expected: string;
  readonly validFrom?: string;
  readonly validTo?: string;
  readonly facts: { readonly policy: string; readonly vmpl: number; readonly policyNotes?: readonly string[] };
}

const cases: readonly RealCase[] = present
  ? JSON.parse(readFileSync(path.join(FOLDER, 'index.json'), 'utf8')).cases
  : [];
const read = (one: RealCase, name: string): Uint8Array =>
  new Uint8Array(readFileSync(path.join(FOLDER, one.dir, name)));
const valid = cases.filter(({ expected }) => expected === 'valid');

const inside = (one: RealCase): Date => {
  const [from, to] = [Date.parse(one.validFrom ?? ''), Date.parse(one.validTo ?? '')];
  return new Date((from + to) / 2);
};

const judge = (one: RealCase, policy: Parameters<typeof assess>[0]['policy'], at: Date): Promise<AttestationResult> => {
  const { signerCert, intermediate } = one.files;
  const endorsements = [signerCert, intermediate].flatMap((name) => (name ? [read(one, name)] : []));
  return assess({ file: read(one, one.files.report), policy, at, endorsements });
};

describe.skipIf(!present)('real reports', () => {
  test('there are many', () => {
    expect(valid.length).toBeGreaterThan(15);
  });

  describe.each(valid.map((one) => [one.id, one] as const))('%s', (_, one) => {
    test('is told from its bytes, and genuine under builtin:authenticity', async () => {
      expect(detectKind(read(one, one.files.report))).toBe('snp-report');
      const result = await judge(one, 'builtin:authenticity', inside(one));
      expect(result.findings).toEqual([]);
      expect(result).toMatchObject({ verdict: 'affirming', platform: 'snp', strength: null });
      expect(result.claims).toMatchObject({
        product: one.product,
        reportVersion: one.reportVersion,
        signer: one.signer,
        vmpl: one.facts.vmpl,
        guestPolicy: { raw: one.facts.policy },
      });
    });

    test('drafts a policy that accepts it', async () => {
      const result = await judge(one, 'builtin:authenticity', inside(one));
      if (result.verdict !== 'affirming') throw new Error('not affirming');
      const policy = parsePolicy(draftPolicy(result, []));
      expect((await judge(one, policy, inside(one))).findings).toEqual([]);
    });

    test('shows under a strict policy the powers its host has', async () => {
      const products = ['Milan', 'Genoa', 'Turin'];
      const strict = parsePolicy(
        strictPolicy({}, { products, referenceValues: 'any-unidentified-program', minimumTcb: 'any', vlek: 'allow' }),
      );
      const codes = (await judge(one, strict, inside(one))).findings.map(({ code }) => code as string);
      const noted = (text: string): boolean => one.facts.policyNotes?.some((note) => note.includes(text)) ?? false;
      expect(codes.includes('DEBUG_ENABLED')).toBe(noted('DEBUG=1'));
      expect(codes.includes('ALIAS_CHECK_MISSING')).toBe(noted('ALIAS_CHECK_COMPLETE is 0'));
      expect(codes.includes('TCB_PROVISIONAL')).toBe(noted('provisional'));
    });
  });

  test('VLEKs: forbidden, allowed, or by the provider they are bound to', async () => {
    const one = valid.find(({ signer }) => signer === 'VLEK');
    if (!one) throw new Error('no VLEK case');
    const genuine = await judge(one, 'builtin:authenticity', inside(one));
    const base = { referenceValues: 'any-unidentified-program', minimumTcb: 'any', aliasCheck: 'not-required' };
    const codes = async (vlek: unknown) => {
      const policy = parsePolicy(strictPolicy({}, { ...base, provisionalFirmware: 'allow', vlek }));
      return (await judge(one, policy, inside(one))).findings.map(({ code }) => code);
    };
    expect(await codes('forbid')).toEqual(['SIGNING_KEY_NOT_ALLOWED']);
    expect(await codes({ cspIds: ['CN=elsewhere'] })).toEqual(['SIGNING_KEY_NOT_ALLOWED']);
    expect(await codes({ cspIds: [genuine.claims.cspId] })).toEqual([]);
    expect(await codes('allow')).toEqual([]);
  });

  test('the known negatives are refused, and what cannot be verified is not affirming', async () => {
    const others = cases.filter(({ expected }) => expected !== 'valid');
    expect(others.length).toBeGreaterThan(4);
    for (const one of others) {
      const at = one.validFrom ? inside(one) : new Date('2026-01-15T00:00:00Z');
      const result = await judge(one, 'builtin:authenticity', at);
      expect(`${one.id} ${result.verdict}`).toBe(`${one.id} contraindicated`);
    }
  });
});
