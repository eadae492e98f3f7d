/** In the page: attests a service, runs a sealed inference on it, keeps the receipt in the browser's own file system. */
import { CodedError, type DirectoryHandle, type Receipt, VeriteeClient } from '../../client/index.ts';
import { parsePolicy } from '../../verifier/index.ts';

export interface Job {
  readonly policy: unknown;
  readonly model: string;
  readonly input: { readonly name: string; readonly shape: readonly number[]; readonly data: readonly number[] };
}

export interface Answer {
  readonly outputs: readonly { readonly name: string; readonly datatype: string; readonly data: readonly string[] }[];
  readonly atOnce: string;
  readonly committed: string;
  readonly platform: string | null;
  /** Size of every file that was kept, by the end of its name. */
  readonly kept: Readonly<Record<string, number>>;
  /** Through `client.fetch`. */
  readonly described: string;
}

interface Folder extends DirectoryHandle {
  entries(): AsyncIterable<readonly [string, { getFile(): Promise<{ readonly size: number }> }]>;
}

interface Page {
  readonly location: { readonly origin: string };
  readonly navigator: { readonly storage: { getDirectory(): Promise<Folder> } };
}

const { location, navigator } = globalThis as unknown as Page;

/** The same in Node and in a page. */
export async function run(
  { policy, model, input }: Job,
  url: string,
): Promise<Omit<Answer, 'kept'> & { readonly receipt: Receipt }> {
  const client = new VeriteeClient({ url, policy: parsePolicy(policy) });
  const { outputs, receipt } = await client.infer(model, [{ ...input, data: Float32Array.from(input.data) }]);
  const committed = await receipt.hardwareCommitted();
  const described = (await (await client.fetch(`/v2/models/${model}`)).json()) as { readonly name: string };
  return {
    outputs: outputs.map(({ name, datatype, data }) => ({ name, datatype, data: Array.from(data, String) })),
    atOnce: receipt.result.strength,
    committed: committed.result.strength,
    platform: committed.result.platform,
    described: described.name,
    receipt: committed,
  };
}

async function main(): Promise<Answer> {
  const job = (await (await fetch('/job.json')).json()) as Job;
  const { receipt, ...answer } = await run(job, location.origin);
  const folder = await navigator.storage.getDirectory();
  await receipt.save(folder);
  const kept: Record<string, number> = {};
  for await (const [name, file] of folder.entries()) {
    kept[name.replace(receipt.id, '')] = (await file.getFile()).size;
  }
  return { ...answer, kept };
}

if ('document' in globalThis) {
  const answer = await main().catch((error: unknown) => ({
    failed: error instanceof CodedError ? error.code : String(error),
  }));
  await fetch('/answer', { method: 'POST', body: JSON.stringify(answer) });
}
