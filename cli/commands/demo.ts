import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { VeriteeClient } from '@veritee/client';
import { hex, parseEntry, parseReceipt } from '@veritee/protocol';
import { assess, draftPolicy, parsePolicy, readTrustAnchors } from '@veritee/verifier';
import { EXIT } from '../exit.ts';
import { usage } from '../inputs.ts';
import { print, writeOutputs } from '../io.ts';
import { type LocalService, startService, untilReady } from '../service.ts';

const READY_WITHIN_MS = 30_000;

/** What a step found to be untrue: the demo ends with it. */
class DemoFailure extends Error {}

function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new DemoFailure(what);
}

const proved = (text: string): void => print(`  ✓ ${text}`);
const step = (number: number, text: string): void => print(`\n${number}. ${text}`);

interface Platform {
  readonly name: string;
  /** Who vouches. */
  readonly signer: string;
  /** Its word. */
  readonly report: string;
  /** What stands in for it. */
  readonly simulation: string;
  /** What the drafted policy names. */
  readonly named: string;
}

const PLATFORMS: readonly Platform[] = [
  {
    name: 'simulated-snp',
    signer: 'the chip',
    report: 'report',
    simulation: 'a software chip',
    named: 'this root, this measurement and this TCB',
  },
  {
    name: 'simulated-nitro',
    signer: 'the hypervisor',
    report: 'document',
    simulation: 'a software Nitro hypervisor',
    named: 'this root and these PCRs',
  },
];
const BOTH = 'both';

/** @throws InputError USAGE */
function platformsOf(name: string): readonly Platform[] {
  const chosen = PLATFORMS.filter((platform) => name === BOTH || platform.name === name);
  if (chosen.length === 0) throw usage('platform', [...PLATFORMS.map((one) => one.name), BOTH].join(', '));
  return chosen;
}

/** The whole path on this machine: start, attest, infer, verify offline, refuse a forgery. */
export async function demo(options: { readonly keep?: string; readonly platform: string }): Promise<number> {
  const platforms = platformsOf(options.platform);
  const folder = options.keep ?? (await mkdtemp(path.join(tmpdir(), 'veritee-demo-')));
  let service: LocalService | null = null;
  try {
    for (const platform of platforms) {
      const own = platforms.length > 1 ? path.join(folder, platform.name) : folder;
      if (own !== folder) await mkdir(own, { recursive: true, mode: 0o700 });
      service = await run(platform, own, (started) => {
        service = started;
      });
    }
    print('\ndemo: ok');
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof DemoFailure)) throw error;
    print(`  ✗ ${error.message}\n\ndemo: failed`);
    return EXIT.contraindicated;
  } finally {
    await service?.stop();
    if (options.keep === undefined) await rm(folder, { recursive: true, force: true });
  }
}

async function run(
  { name, signer, report, simulation, named }: Platform,
  folder: string,
  onStarted: (service: LocalService) => void,
): Promise<LocalService> {
  print(`Veritee demo: an answer from an ONNX model, proved down to a ${report} that ${signer} signed.`);

  step(1, 'Start a host and an enclave, two processes on free ports');
  print('  … making throw-away roots for the simulated platform, up to a few seconds');
  const data = path.join(folder, 'data');
  const service = await startService({
    platform: name,
    listen: '127.0.0.1:0',
    data,
    allowPlaintext: false,
    logLevel: 'error',
    enclaveOption: [],
    hostOption: [],
    onRestart: (reason) => print(`  ! ${reason}`),
  });
  onStarted(service);
  must(await untilReady(service.url, READY_WITHIN_MS), 'the service did not become ready');
  proved(`ready at ${service.url}`);
  print(
    `  ! The platform is SIMULATED: ${simulation} under throw-away roots. It shows the mechanism and proves no machine.`,
  );

  step(2, 'Decide what to trust');
  const root = (await readdir(data)).find((file) => file.startsWith(`${name}-`) && file.endsWith('.pem'));
  must(root !== undefined, 'no simulated root was written');
  const rootFile = path.join(data, root);
  const anchors = await readTrustAnchors(new Uint8Array(await readFile(rootFile)), root);
  const attestation = new Uint8Array(await (await fetch(`${service.url}/attestation`)).arrayBuffer());
  const untrusted = await assess({ file: attestation, policy: 'builtin:authenticity', at: new Date() });
  must(untrusted.verdict === 'contraindicated', 'the simulated platform was trusted without being named');
  proved(`by default the simulated root is refused (${untrusted.findings[0].code})`);
  const genuine = await assess({
    file: attestation,
    policy: 'builtin:authenticity',
    at: new Date(),
    trustAnchors: anchors,
  });
  must(genuine.verdict === 'affirming', 'the evidence does not verify under its own root');
  const policyFile = path.join(folder, 'policy.json');
  const draft = draftPolicy(genuine, anchors);
  await writeOutputs([{ path: policyFile, content: JSON.stringify(draft, null, 2) }]);
  const policy = parsePolicy(draft);
  proved(`a policy now names ${named}`);

  step(3, 'Verify first, then seal and ask');
  const client = new VeriteeClient({ url: service.url, policy });
  const attested = await client.ready();
  must(attested.sealingKey !== null, 'there is no key to seal the question to');
  proved(`${signer}'s ${report} answers a nonce made a moment ago`);
  proved(`the ${report} covers the log of boot ${hex(attested.result.session.bootId)} and its session key`);
  proved(`the ${report} covers the key that the question is sealed to: the host cannot read it, nor the answer`);
  print('    question: 30 °C, 60 % humidity, 2 m/s wind, 750 W/m² sun, heavy work: how dangerous is the heat?');
  const readings = Float32Array.of(30, 60, 2, 750, 415, 1, 0);
  const { outputs, receipt } = await client.infer('heat-stress', [{ name: 'readings', shape: [1, 7], data: readings }]);
  for (const { name: output, data: values } of outputs)
    print(`    ${output}: ${Array.from(values, String).join(', ')}`);
  proved("the answer's statement is signed by that session");
  proved('it commits to the exact bytes sent and received, with salts only we hold');

  step(4, 'Wait for the hardware');
  const kept = await receipt.hardwareCommitted();
  proved(`${signer}'s next ${report} covers the statement itself: hardware-committed`);
  const receiptFile = path.join(folder, 'answer.veritee');
  const responseFile = `${receiptFile}.response`;
  await writeOutputs([
    { path: responseFile, content: kept.private.response },
    { path: receiptFile, content: kept.file },
  ]);

  step(5, 'Stop everything and verify the file offline, in another process');
  await service.stop();
  const given = [
    ...['--policy', policyFile, '--nonce', nonceOf(kept.file)],
    ...['--response', responseFile, '--response-salt', hex(kept.private.responseSalt)],
  ];
  const offline = await verifyProcess(receiptFile, given);
  must(offline.status === EXIT.done && offline.result.verdict === 'affirming', 'the receipt does not verify offline');
  must(offline.result.strength === 'hardware-committed', 'the receipt is not hardware-committed');
  proved(
    `affirming, ${offline.result.strength}: ${offline.result.checks.filter((check) => check.outcome === 'pass').length} checks passed, with no network`,
  );
  for (const text of offline.result.notChecked) print(`    – not checked: ${text}`);

  step(6, 'Change one byte of the receipt and verify again');
  const forged = new Uint8Array(kept.file);
  const place = forged.length >> 1;
  forged[place] = (forged[place] ?? 0) ^ 1;
  const forgedFile = path.join(folder, 'forged.veritee');
  await writeOutputs([{ path: forgedFile, content: forged }]);
  const refused = await verifyProcess(forgedFile, given);
  must(refused.result.verdict !== 'affirming' && refused.status !== EXIT.done, 'a changed receipt was accepted');
  proved(`byte ${place} changed: ${refused.result.verdict}, ${refused.result.findings[0]?.code}`);
  return service;
}

function nonceOf(file: Uint8Array): string {
  const entry = parseEntry(parseReceipt(file).statement);
  must(entry.kind === 'statement' && entry.value.nonce !== null, 'the statement bears no nonce');
  return hex(entry.value.nonce);
}

interface Verified {
  readonly status: number;
  readonly result: {
    readonly verdict: string;
    readonly strength: string | null;
    readonly findings: readonly { readonly code: string }[];
    readonly checks: readonly { readonly outcome: string }[];
    readonly notChecked: readonly string[];
  };
}

/** `veritee verify … --json` as its own process. */
function verifyProcess(file: string, args: readonly string[]): Promise<Verified> {
  const launcher = fileURLToPath(new URL('../bin/veritee.js', import.meta.url));
  const child = spawn(process.execPath, [launcher, 'verify', file, ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => {
      try {
        resolve({ status: status ?? EXIT.defect, result: JSON.parse(output) });
      } catch {
        reject(new DemoFailure('the verifying process printed no result'));
      }
    });
  });
}
