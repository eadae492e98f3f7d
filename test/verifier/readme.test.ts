import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../support/cli.ts';
import { MiniEnclave, MODEL } from '../support/mini-enclave.ts';
import { ROOT } from '../support/shared.ts';

const README = readFileSync(path.join(ROOT, 'verifier/README.md'), 'utf8');
const examples = new Map(
  [...README.matchAll(/^```js example=(\S+)\n(.*?)^```$/gms)].map(([, name = '', code = '']) => [name, code]),
);
const example = (name: string): string => examples.get(name) ?? '';

const { folder, remove } = temporaryFolder();
afterAll(remove);

beforeAll(async () => {
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
  const enclave = new MiniEnclave();
  const answer = await enclave.infer();
  const tick = await enclave.tick();
  const put = (name: string, content: Uint8Array | string) => writeFileSync(path.join(folder, name), content);
  put('answer.veritee', enclave.receipt(answer, tick));
  put('root.pem', tick.snp.ark);
  put(
    'key.jwk',
    JSON.stringify(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })),
  );
});

/** Runs it against the build, as a reader of the page would. */
function run(name: string, code: string): string {
  writeFileSync(path.join(folder, `${name}.mjs`), code);
  const { status, stdout, stderr } = spawnSync(process.execPath, [`${name}.mjs`], { cwd: folder, encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return stdout;
}

describe("the README's examples", () => {
  test('are the four, of at most ten lines, on a page under forty', () => {
    expect([...examples.keys()]).toEqual(['node', 'ear', 'browser', 'policy']);
    for (const code of examples.values()) expect(code.trimEnd().split('\n').length).toBeLessThanOrEqual(10);
    expect(README.trimEnd().split('\n').length).toBeLessThan(40);
  });

  test('run: a policy, then a receipt under it, then a token, then the same in a page', () => {
    expect(run('policy', example('policy'))).toContain('policy.anchors[0]: a simulated platform is accepted');
    const [first = '', token = ''] = run('node', `${example('node')}${example('ear')}`).split('\n');
    expect(first).toBe(`hardware-committed ${MODEL.name}`);
    expect(decodeJwt(token)['submods']).toMatchObject({ 'simulated-snp': { 'ear.status': 'affirming' } });
    const page = [
      "import { readFileSync } from 'node:fs';",
      'globalThis.document = { body: {} };',
      'globalThis.fetch = async (url) => new Response(readFileSync(url));',
      example('browser'),
      'console.log(document.body.textContent);',
    ];
    expect(run('browser', page.join('\n'))).toMatch(/^affirming\n/);
  });
});
