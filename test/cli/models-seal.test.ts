import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { sealModels } from '../../cli/commands/models.ts';
import { InputError } from '../../cli/exit.ts';
import { fromBase64url, hex } from '../../protocol/bytes.ts';
import { parseSealedModelHead } from '../../protocol/sealed-model.ts';
import { temporaryFolder } from '../support/cli.ts';
import { ROOT } from '../support/shared.ts';

const { folder, remove } = temporaryFolder();
afterAll(remove);
const at = (...parts: string[]): string => path.join(folder, ...parts);
const KID = 'kbs:///acme/model-key/fraud';
const sample = path.join(ROOT, 'enclave/sample-models');
let last = 0;
const fresh = (): { keyFile: string; out: string } => ({ keyFile: at(`key-${++last}.jwk`), out: at(`sealed-${last}`) });
const run = (dir: string, options: Partial<Parameters<typeof sealModels>[1]> = {}) =>
  sealModels(dir, { ...fresh(), newKey: true, kid: KID, json: false, ...options });

describe('veritee models seal', () => {
  test('writes an encrypted copy, a key only its owner can read, and the digest that policies name', async () => {
    const { keyFile, out } = fresh();
    const print = vi.spyOn(process.stdout, 'write').mockImplementation(() => true);
    expect(await run(sample, { keyFile, out, json: true })).toBe(0);
    const printed = JSON.parse(print.mock.calls.map(([text]) => String(text)).join(''));
    print.mockRestore();
    expect(printed.versions).toMatchObject([{ name: 'heat-stress', version: '1', files: 2 }]);
    expect(printed.versions[0].digest).toMatch(/^[0-9a-f]{64}$/);

    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
    const jwk = JSON.parse(readFileSync(keyFile, 'utf8'));
    expect(jwk).toMatchObject({ kty: 'oct', alg: 'A256GCM', kid: KID });
    expect(fromBase64url(jwk.k)?.length).toBe(32);
    expect(readdirSync(path.join(out, 'heat-stress/1')).sort()).toEqual(['config.json.cose', 'model.onnx.cose']);
    const clear = readFileSync(path.join(sample, 'heat-stress/1/model.onnx'));
    const sealed = readFileSync(path.join(out, 'heat-stress/1/model.onnx.cose'));
    const head = parseSealedModelHead(sealed, sealed.length, 'sealed');
    expect(head).toMatchObject({ path: 'heat-stress/1/model.onnx', plaintextBytes: clear.length });
    for (let from = 0; from + 64 < clear.length; from += 512) {
      expect(sealed.includes(clear.subarray(from, from + 64)), `byte ${from}`).toBe(false);
    }
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('takes a key that is there, and never the same IV twice', async () => {
    const { keyFile, out } = fresh();
    await run(sample, { keyFile, out });
    const again = fresh().out;
    await run(sample, { keyFile, out: again, newKey: false });
    const ivs = [out, again].flatMap((one) =>
      ['model.onnx.cose', 'config.json.cose'].map((name) => {
        const file = readFileSync(path.join(one, 'heat-stress/1', name));
        return hex(parseSealedModelHead(file, file.length, name).iv);
      }),
    );
    expect(new Set(ivs).size).toBe(4);
  });

  const refusedFor = async (code: string, dir: string, options: Partial<Parameters<typeof sealModels>[1]> = {}) => {
    const error: unknown = await run(dir, options).catch((refusal: unknown) => refusal);
    expect(error).toBeInstanceOf(InputError);
    expect((error as InputError).code).toBe(code);
    return (error as InputError).message;
  };

  test('overwrites neither a key nor a folder', async () => {
    const { keyFile, out } = fresh();
    await run(sample, { keyFile, out });
    const key = readFileSync(keyFile, 'utf8');
    await refusedFor('FILE_UNWRITABLE', sample, { keyFile });
    expect(readFileSync(keyFile, 'utf8')).toBe(key);
    await refusedFor('FILE_UNWRITABLE', sample, { out });
  });

  test('refuses links, files that are encrypted already, and folders without a model', async () => {
    mkdirSync(at('links/m/1'), { recursive: true });
    symlinkSync('/etc/hostname', at('links/m/1/model.onnx'));
    expect(await refusedFor('USAGE', at('links'))).toContain('m/1/model.onnx');
    cpSync(sample, at('twice'), { recursive: true });
    writeFileSync(at('twice/heat-stress/1/model.onnx.cose'), 'x');
    await refusedFor('USAGE', at('twice'));
    mkdirSync(at('empty'));
    const { out } = fresh();
    await refusedFor('USAGE', at('empty'), { out });
    expect(existsSync(out)).toBe(false);
    await refusedFor('FILE_UNREADABLE', at('absent'));
  });

  test('refuses key names and keys that are none, and quotes no key', async () => {
    await refusedFor('USAGE', sample, { kid: 'fraud' });
    const secret = 'QUJDREVGR0g';
    for (const [name, content] of [
      ['short', JSON.stringify({ kty: 'oct', k: secret })],
      ['ec', JSON.stringify({ kty: 'EC', d: secret })],
      ['raw', secret],
      ['binary', new Uint8Array([0xff, 0xfe])],
      ['null', 'null'],
    ] as const) {
      writeFileSync(at(name), content);
      expect(await refusedFor('USAGE', sample, { keyFile: at(name), newKey: false })).not.toContain(secret);
    }
    await refusedFor('FILE_UNREADABLE', sample, { keyFile: at('no-such'), newKey: false });
  });
});
