import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import path from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder, useReadyMadeChip } from '../support/cli.ts';
import { ROOT } from '../support/shared.ts';

interface Example {
  readonly language: string;
  readonly name: string;
  readonly code: string;
}

const README = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
const examples: Example[] = [...README.matchAll(/^```(\w+) example=(\S+)\n(.*?)^```$/gms)].map(
  ([, language = '', name = '', code = '']) => ({ language, name, code }),
);

const README_PORTS = ['8080', '8081'];

async function freePort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

/** Ends a shell and all that it started. */
function endGroup(shell: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(-shell, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it has all ended
  }
}

const tools = ['bash', 'curl', 'sha256sum', 'npx', 'python3'].filter(
  (tool) => spawnSync(tool, ['--version']).status !== 0,
);
if (tools.length > 0) console.warn(`\n!!! ${tools} missing: the README's examples are NOT TESTED !!!\n`);

describe.skipIf(tools.length > 0)("the README's examples", () => {
  const { folder, remove } = temporaryFolder();
  afterAll(remove);

  test('run as they are printed, one after the other in one shell', async () => {
    expect(examples.map(({ name }) => name)).toEqual(['serve', 'proxy', 'client', 'verify', 'sdk', 'archive', 'keep']);
    // The folder looks like the repository's root from inside; only the ports, which may be taken here, are others.
    for (const name of ['node_modules', 'docs', 'package.json'])
      symlinkSync(path.join(ROOT, name), path.join(folder, name));
    useReadyMadeChip(path.join(folder, 'veritee-data'));
    const ports = await Promise.all(README_PORTS.map(async (port) => [port, await freePort()] as const));
    const script = examples.map(({ language, name, code }) => {
      const adapted = ports.reduce((text, [printed, free]) => text.replaceAll(printed, free), code);
      if (language === 'sh') return `${adapted}\n`;
      writeFileSync(path.join(folder, `${name}.mjs`), adapted);
      return `node ${name}.mjs\n`;
    });
    const marked = script.map((part, i) => `echo '--- ${examples[i]?.name}'\n${part}`).join('');
    // Stops at the first command that fails, which a terminal would not: here a failure must show.
    const shell = spawn('bash', ['-euo', 'pipefail', '-c', marked], {
      cwd: folder,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    shell.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    shell.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    onTestFinished(() => endGroup(shell.pid as number, 'SIGKILL'));
    const status = await new Promise((resolve) => shell.once('exit', resolve));
    endGroup(shell.pid as number, 'SIGTERM'); // the service it left in the background
    await new Promise((resolve) => shell.once('close', resolve));
    expect(status, stdout + stderr).toBe(0);

    const outputOf = (name: string) => stdout.split(`--- ${name}\n`)[1]?.split(/^--- /m)[0] ?? '';
    expect(outputOf('serve')).toMatch(/^probabilities FP32 \[4,4\]: /);
    expect(outputOf('proxy')).toContain('"model_name":"heat-stress"');
    expect(outputOf('client')).toMatch(/^\[\n? *'probabilities: [\d.e-]+,/);
    const kept = readdirSync(path.join(folder, 'receipts')).filter((name) => name.endsWith('.veritee'));
    expect(kept).toHaveLength(2);
    expect(outputOf('verify')).toContain('✓ affirming, hardware-committed, platform simulated-snp');
    expect(outputOf('verify')).toContain('"statement"'); // inspect
    expect(outputOf('sdk')).toBe('affirming hardware-committed []\n');
    const verdict = JSON.parse(readFileSync(path.join(folder, 'verdict.json'), 'utf8'));
    expect(verdict.verdict).toBe('affirming');
    const [digest, ...checkpoint] = outputOf('archive').split('\n');
    expect(digest?.split(' ')[0]).toBe(verdict.claims.responseDigest);
    expect(checkpoint[0]).toBe(`veritee/${verdict.claims.session.bootId}`);
    expect(outputOf('keep')).toContain('heat-stress');
    for (const suffix of ['', '.private.json', '.request', '.response'])
      expect(statSync(path.join(folder, `answer.veritee${suffix}`)).mode & 0o777).toBe(0o600);
    expect(stderr).toContain('SIMULATED');
  });
});

test('every file and folder that the README links to is there', () => {
  const links = [...README.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = '']) => target);
  expect(links.length).toBeGreaterThan(5);
  for (const link of links) expect(() => statSync(path.join(ROOT, link)), link).not.toThrow();
});
