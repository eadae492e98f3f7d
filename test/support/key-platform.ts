import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';
import type { Attester, KeyRequester, PlatformEvidence } from '../../enclave/attester/attester.ts';
import type { NsmAttester } from '../../enclave/attester/nsm.ts';
import { simulatedNitro, simulatedSnp } from '../../enclave/attester/simulated.ts';
import { type Bytes, bytes } from '../../protocol/bytes.ts';
import {
  type AppraisalPolicy,
  assess,
  draftPolicy,
  type PolicyDraft,
  parsePolicy,
  readTrustAnchors,
  type TrustAnchor,
} from '../../verifier/index.ts';

export type SimulatedName = 'simulated-snp' | 'simulated-nitro';

export interface KeyPlatform<A = Attester & KeyRequester> {
  readonly attester: A;
  readonly anchors: readonly TrustAnchor[];
  /** Accepts this program on this platform and nothing else. */
  readonly policy: AppraisalPolicy;
  /** The JSON of that policy. */
  readonly draft: PolicyDraft;
}

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'veritee-keys-'));
  folders.push(folder);
  return folder;
}

/** A program file of its own, so that each platform measures something else. */
function program(folder: string): string {
  const file = path.join(folder, 'program.js');
  writeFileSync(file, randomBytes(32));
  return file;
}

const random64 = (): Bytes<64> => bytes(randomBytes(64), 64, 'random');

async function described<A extends Attester & KeyRequester>(
  attester: A,
  folder: string,
  kind: 'snp-report' | 'nitro-document',
): Promise<KeyPlatform<A>> {
  const root = readdirSync(folder).find((name) => name.endsWith('.pem')) as string;
  const anchors = await readTrustAnchors(new Uint8Array(readFileSync(path.join(folder, root))), root);
  const { report, chain }: PlatformEvidence = await attester.attestToBroker(random64());
  const at = new Date(Date.now() + 1000);
  const result = await assess({
    file: report,
    kind,
    policy: 'builtin:authenticity',
    at,
    trustAnchors: anchors,
    endorsements: chain,
  });
  if (result.verdict !== 'affirming') throw new Error(`the simulated platform does not verify: ${result.verdict}`);
  const draft = draftPolicy(result, anchors);
  return { attester, anchors, policy: parsePolicy(draft), draft };
}

export async function snpPlatform(): Promise<KeyPlatform> {
  const folder = newFolder();
  cpSync(process.env['VERITEE_TEST_CHIP'] as string, folder, { recursive: true });
  const attester = await simulatedSnp({
    dataDir: folder,
    programFiles: [program(folder)],
    throttle: 'none',
    product: 'Genoa',
    reportVersion: 5,
    minIntervalMs: 1,
    hostData: null,
    onProgress: () => undefined,
  });
  return described(attester, folder, 'snp-report');
}

export async function nitroPlatform(): Promise<KeyPlatform<NsmAttester>> {
  const folder = newFolder();
  const attester = await simulatedNitro({ dataDir: folder, programFiles: [program(folder)], minIntervalMs: 1 });
  return described(attester, folder, 'nitro-document');
}
