import type { KeyProvider } from '@veritee/enclave';
import {
  base64,
  hex,
  keyIdText,
  MODEL_SET_PCR,
  modelSet,
  modelSetHostData,
  modelSetPcr,
  ServiceError,
} from '@veritee/protocol';
import { EXIT, InputError } from '../exit.ts';
import { print, printJson, say } from '../io.ts';
import { row } from '../measure/print.ts';
import { type ModelKey, readNamedModelKey } from '../model-key.ts';

export interface MeasureModelsOptions {
  readonly keyFile: readonly string[];
  readonly json: boolean;
}

/** The values by which hardware measures a model repository, from the enclave's own reading of its files. */
export async function measureModels(dir: string, options: MeasureModelsOptions): Promise<number> {
  const { digestRepository } = await import('@veritee/enclave'); // not at the top: no other verb needs the enclave
  const keys: ModelKey[] = [];
  for (const file of options.keyFile) keys.push(await readNamedModelKey(file));
  const warn = ({ path, message }: { readonly path: string; readonly message: string }): void =>
    say(`veritee: ${path === '' ? '' : `${path}: `}${message}`);
  let versions: Awaited<ReturnType<typeof digestRepository>>;
  try {
    versions = await digestRepository(dir, providerOf(keys), warn);
  } finally {
    for (const { key } of keys) key.fill(0);
  }
  if (versions.length === 0) throw new InputError('USAGE', `${dir}: holds no model`, { field: dir });
  const digests = versions.map(({ digest }) => digest);
  const hostData = modelSetHostData(digests);
  const report = {
    models: versions.map(({ digest, ...rest }) => ({ ...rest, digest: hex(digest) })),
    hostData: hex(hostData),
    hostDataBase64: base64(hostData),
    pcr: { index: MODEL_SET_PCR, value: hex(modelSetPcr(digests)) },
    modelBinding: { modelSets: [modelSet(digests).map(hex)] },
  };
  if (options.json) printJson(report);
  else {
    for (const { name, version, digest, files } of report.models)
      print(`${name}/${version}: ${files} file${files === 1 ? '' : 's'}, model digest ${digest}`);
    row('HOST_DATA', report.hostData);
    row('  in base64', report.hostDataBase64);
    row(`PCR${report.pcr.index}`, report.pcr.value);
    print(
      `\nFor sevSnp.modelBinding or nitro.modelBinding of a policy:\n${JSON.stringify(report.modelBinding, null, 2)}`,
    );
  }
  return EXIT.done;
}

/** The key of that name; a single one without a name opens everything. */
function providerOf(keys: readonly ModelKey[]): KeyProvider {
  const [first, ...others] = keys;
  return {
    key: async (id) => {
      const kid = keyIdText(id);
      const found = keys.find((one) => one.kid === kid) ?? (first?.kid === null && others.length === 0 ? first : null);
      if (found) return new Uint8Array(found.key); // the ring wipes what it is given
      throw new ServiceError('MODEL_KEY_UNAVAILABLE', 'give the file of this key with --key-file', { field: 'kid' });
    },
  };
}
