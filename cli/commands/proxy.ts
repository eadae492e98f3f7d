import { access, constants, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { proxyHandler, VeriteeClient } from '@veritee/client';
import { hex } from '@veritee/protocol';
import { EXIT, InputError } from '../exit.ts';
import { addReferenceValues, type ReferenceFlags, readAnchors, readPolicy, usage } from '../inputs.ts';
import { say } from '../io.ts';
import { ReceiptFolder } from '../receipt-folder.ts';
import { isLoopback, readListen, serveWeb } from '../web-server.ts';
import { untilAsked } from './serve.ts';

const OWNER_ONLY = 0o700;
const LAST_RECEIPTS_MS = 10_000;

export interface ProxyOptions extends ReferenceFlags {
  readonly url: string;
  readonly policy?: string;
  readonly trustAnchor: readonly string[];
  readonly listen: string;
  readonly listenAnywhere: boolean;
  readonly receipts?: string;
  readonly waitFor?: string;
  readonly padding?: string;
}

/** Runs until SIGTERM, SIGINT or SIGHUP, or until the process that started it ends. Logs no request. */
export async function proxy(options: ProxyOptions): Promise<number> {
  const { waitFor } = options;
  if (waitFor !== undefined && waitFor !== 'hardware') throw usage('wait-for', 'hardware');
  const listen = readListen(options.listen);
  if (!isLoopback(listen) && !options.listenAnywhere) {
    throw usage('listen', 'a loopback address, or --listen-anywhere: what arrives here is in the clear');
  }
  const policy = await addReferenceValues(await readPolicy(options.policy), options);
  const trustAnchors = await readAnchors(options.trustAnchor);
  const folder = options.receipts === undefined ? null : await receiptFolder(options.receipts);

  const client = new VeriteeClient({ url: options.url, policy, trustAnchors, ...readPadding(options.padding) });
  const { result } = await client.ready();
  const stopped = new AbortController();
  const handler = proxyHandler(client, {
    signal: stopped.signal,
    hosts: options.listenAnywhere ? 'any' : 'loopback',
    ...(folder && { onReceipt: (receipt) => folder.keep(receipt) }),
    ...(waitFor && { waitFor }),
  });
  const counts = { answered: 0, refused: 0 };
  const server = await serveWeb(async (request) => {
    const response = await handler(request);
    if (response.ok) counts.answered += 1;
    else counts.refused += 1;
    return response;
  }, listen);
  if (!isLoopback(listen)) say(`!! anyone who reaches ${server.url} is answered, and everything there is in the clear`);
  if (result.platform?.startsWith('simulated')) say('!! SIMULATED PLATFORM: this proves the mechanism, not a machine');
  say(
    `veritee: proxy ready at ${server.url}, sealing to ${options.url} (platform ${result.platform}, boot ${hex(result.session.bootId)}, policy ${policy.id})`,
  );
  const reason = await untilAsked(false);
  say(`veritee: ${reason}; stopping …`);
  await server.close();
  stopped.abort();
  await folder?.close(LAST_RECEIPTS_MS);
  const kept = folder?.counts;
  say(
    `veritee: ${counts.answered} answered, ${counts.refused} refused` +
      (kept
        ? `; ${kept.kept} receipts kept, ${kept.hardwareCommitted} hardware-committed, ${kept.sessionSigned} session-signed`
        : ''),
  );
  return EXIT.done;
}

function readPadding(text: string | undefined): { readonly padding?: number } {
  if (text === undefined) return {};
  if (!/^[1-9]\d{0,4}$/.test(text) || Number(text) > 65_536) throw usage('padding', 'a number of bytes, 1 to 65536');
  return { padding: Number(text) };
}

async function receiptFolder(folder: string): Promise<ReceiptFolder> {
  try {
    await mkdir(folder, { recursive: true, mode: OWNER_ONLY });
    await access(folder, constants.W_OK);
  } catch (cause) {
    throw new InputError('FILE_UNWRITABLE', `${folder}: ${(cause as NodeJS.ErrnoException).code}`, {
      cause,
      field: 'receipts',
    });
  }
  return new ReceiptFolder(path.resolve(folder), ({ id }, error) =>
    say(`veritee: receipt ${id} stays session-signed: ${error.code}`),
  );
}
