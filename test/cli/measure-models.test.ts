import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { measureModels } from '../../cli/commands/measure-models.ts';
import { sealModels } from '../../cli/commands/models.ts';
import { temporaryFolder, veritee } from '../support/cli.ts';
import { RealEnclave } from '../support/real-enclave.ts';
import { ROOT } from '../support/shared.ts';
import { PROGRAMS, TsmMount } from '../support/tsm-mount.ts';

const missing = TsmMount.missing();
if (missing !== null) console.warn(`SKIPPED: measure models against an enclave on its real attesters: ${missing}`);

const { folder, remove } = temporaryFolder();
afterAll(() => {
  remove();
  rmSync(PROGRAMS, { recursive: true, force: true });
});
const at = (...parts: string[]): string => path.join(folder, ...parts);
const SAMPLE = path.join(ROOT, 'enclave/sample-models');

interface Printed {
  readonly models: readonly { name: string; version: string; files: number; digest: string }[];
  readonly hostData: string;
  readonly hostDataBase64: string;
  readonly pcr: { readonly index: number; readonly value: string };
  readonly modelBinding: { readonly modelSets: readonly (readonly string[])[] };
}

async function printed(work: () => Promise<number>): Promise<string> {
  const print = vi.spyOn(process.stdout, 'write').mockImplementation(() => true);
  try {
    expect(await work()).toBe(0);
    return print.mock.calls.map(([text]) => String(text)).join('');
  } finally {
    print.mockRestore();
  }
}

const measured = async (dir: string, ...keyFile: string[]): Promise<Printed> =>
  JSON.parse(await printed(() => measureModels(dir, { keyFile, json: true }))) as Printed;

/** Two models, three versions, one of which differs from another by its config.json alone. */
function repository(name: string): string {
  const dir = at(name);
  for (const version of ['heat-stress/1', 'heat-stress/2', 'other/7'])
    cpSync(path.join(SAMPLE, 'heat-stress/1'), path.join(dir, version), { recursive: true });
  writeFileSync(path.join(dir, 'heat-stress/2/config.json'), '{"description": "second"}');
  writeFileSync(path.join(dir, 'README.md'), 'no model of anybody');
  return dir;
}

async function seal(from: string, out: string): Promise<string> {
  const keyFile = at(`${out}.jwk`);
  const kid = `kbs:///acme/model-key/${out}`;
  await printed(() => sealModels(from, { keyFile, newKey: true, kid, out: at(out), json: true }));
  return keyFile;
}

describe('veritee measure models', () => {
  test('one line each for people, the values under them', async () => {
    const { models, hostData, pcr } = await measured(SAMPLE);
    const text = await printed(() => measureModels(SAMPLE, { keyFile: [], json: false }));
    expect(text).toContain(`heat-stress/1: 2 files, model digest ${models[0]?.digest}`);
    expect(text).toContain(hostData);
    expect(text).toContain(`PCR16           ${pcr.value}`);
    expect(text).toContain('"modelSets"');
  });

  test('as a command; a repository that cannot be served is exit 2 with its code', async () => {
    const { status, stdout } = await veritee(['measure', 'models', SAMPLE, '--json']);
    expect([status, JSON.parse(stdout)]).toEqual([0, await measured(SAMPLE)]);
    const refused = await veritee(['measure', 'models', at('nowhere'), '--json']);
    expect([refused.status, JSON.parse(refused.stdout).error.code]).toEqual([2, 'MODEL_REPOSITORY_INVALID']);
  });

  test('equal models count once, whatever their names', async () => {
    const { models, modelBinding, hostDataBase64, hostData } = await measured(repository('three'));
    expect(models.map(({ name, version }) => `${name}/${version}`)).toEqual([
      'heat-stress/1',
      'heat-stress/2',
      'other/7',
    ]);
    const [first, second, third] = models.map(({ digest }) => digest);
    expect(third).toBe(first);
    expect(modelBinding.modelSets).toEqual([[first, second].sort()]);
    expect(Buffer.from(hostDataBase64, 'base64').toString('hex')).toBe(hostData);
  });

  test('encrypted models count by their clear files, with the key, and only with it', async () => {
    const clear = await measured(SAMPLE);
    const keyFile = await seal(SAMPLE, 'sealed');
    const sealed = at('sealed');
    expect(await measured(sealed, keyFile)).toEqual(clear);
    const otherKey = await seal(SAMPLE, 'sealed-too');
    expect(await measured(sealed, otherKey, keyFile)).toEqual(clear);
    const unnamed = at('unnamed.jwk');
    const { kty, k } = JSON.parse(readFileSync(keyFile, 'utf8'));
    writeFileSync(unnamed, JSON.stringify({ kty, k }));
    expect(await measured(sealed, unnamed)).toEqual(clear);
    const refused = (...keyFiles: string[]) => measureModels(sealed, { keyFile: keyFiles, json: true });
    await expect(refused()).rejects.toMatchObject({ code: 'MODEL_KEY_UNAVAILABLE' });
    await expect(refused(otherKey)).rejects.toMatchObject({ code: 'MODEL_KEY_UNAVAILABLE' });
    const { k: wrong } = JSON.parse(readFileSync(otherKey, 'utf8'));
    writeFileSync(unnamed, JSON.stringify({ kty, k: wrong }));
    await expect(refused(unnamed)).rejects.toMatchObject({ code: 'MODEL_KEY_WRONG' });
    await expect(refused(path.join(SAMPLE, 'heat-stress/1/model.onnx'))).rejects.toMatchObject({ code: 'USAGE' });
  });

  test('nothing is measured when one model could not be served', async () => {
    const dir = repository('broken');
    writeFileSync(path.join(dir, 'other/7/model.onnx'), 'no model');
    const run = () => measureModels(dir, { keyFile: [], json: true });
    await expect(run()).rejects.toMatchObject({ code: 'MODEL_FILE_INVALID' });
    rmSync(path.join(dir, 'other/7/model.onnx'));
    await expect(run()).rejects.toMatchObject({ code: 'MODEL_FILE_MISSING' });
  });

  test('no folder, and a folder without models', async () => {
    const run = (dir: string) => measureModels(dir, { keyFile: [], json: true });
    await expect(run(at('nowhere'))).rejects.toMatchObject({ code: 'MODEL_REPOSITORY_INVALID' });
    mkdirSync(at('empty'));
    await expect(run(at('empty'))).rejects.toMatchObject({ code: 'USAGE' });
  });
});

describe.skipIf(missing !== null)('an enclave on its real attesters agrees', () => {
  const start = (...args: string[]) => RealEnclave.start(['--workers', '1', '--report-interval-ms', '20', ...args]);

  test('SEV-SNP: HOST_DATA; launched for other models it does not start', async () => {
    const dir = repository('snp');
    const { hostData } = await measured(dir);
    const tsm = await TsmMount.mount({ hostData });
    const args = ['--platform', 'snp', '--tsm-folder', `${tsm.folder}/report`, '--measure-models', 'on', '--models'];
    try {
      const enclave = await start(...args, dir);
      await enclave.until(({ committed }) => committed > 0, 'a report');
      await enclave.stop();
      await expect(start(...args, SAMPLE)).rejects.toThrow(
        new RegExp(`PLATFORM_MODELS_DIFFER.*${(await measured(SAMPLE)).hostData}`, 's'),
      );
    } finally {
      await tsm.stop();
    }
  }, 120_000);

  test('Nitro: PCR16, in the document itself', async () => {
    const dir = repository('nitro');
    const { pcr, models } = await measured(dir);
    const tsm = await TsmMount.mount();
    try {
      const enclave = await start('--platform', 'nitro', '--nsm-device', `${tsm.folder}/nsm`, '--models', dir);
      await enclave.until(({ committed }) => committed > models.length, 'a report over the models');
      const { evidence } = await enclave.records();
      await enclave.stop();
      expect(Buffer.from(evidence ?? []).includes(Buffer.from(pcr.value, 'hex'))).toBe(true);
    } finally {
      await tsm.stop();
    }
  }, 120_000);
});
