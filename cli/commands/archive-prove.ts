import {
  type ActProof,
  type Archive,
  actCoseReceipt,
  actTlogProof,
  archiveOrigin,
  cmwOfReceipt,
  cmwOfReceiptJson,
  cosignaturesOf,
  type EntryProof,
  entryCoseReceipt,
  entryTlogProof,
  logOf,
  openArchive,
  openArchiveKey,
  placeOfReceipt,
  portableReceipt,
  proveActs,
  proveEntry,
} from '@veritee/archive';
import { bytes, noteVerifierKey } from '@veritee/protocol';
import { EXIT } from '../exit.ts';
import { usage } from '../inputs.ts';
import { checkOutputs, say, writeOutputs } from '../io.ts';
import { readId } from './archive-scope.ts';

export interface ArchiveProveOptions {
  readonly archive: string;
  readonly receipt?: string;
  readonly boot?: string;
  readonly index?: string;
  readonly act?: string;
  readonly format: string;
  readonly out?: string;
}

const OF_ENTRIES: Readonly<Record<string, (archive: Archive, proof: EntryProof) => Promise<Uint8Array | string>>> = {
  receipt: portableReceipt,
  'tlog-proof': async (_, proof) => entryTlogProof(proof),
  'cose-receipt': async (archive, proof) => entryCoseReceipt(archive, proof, await openArchiveKey(archive.folder)),
  cmw: cmwOfReceipt,
  'cmw-json': cmwOfReceiptJson,
};

const OF_ACTS: Readonly<Record<string, (archive: Archive, proof: ActProof) => Promise<Uint8Array | string>>> = {
  act: async (_, proof) => proof.cose,
  'tlog-proof': async (archive, proof) => actTlogProof(proof, await cosignaturesOf(archive, proof.size)),
  'cose-receipt': async (archive, proof) => actCoseReceipt(archive, proof, await openArchiveKey(archive.folder)),
};

/** One proof, to a file or, where it is text, to stdout; whose key it verifies under is said on stderr. */
export async function archiveProve(options: ArchiveProveOptions): Promise<number> {
  const given = [options.receipt, options.boot, options.act].filter((flag) => flag !== undefined);
  if (given.length !== 1) throw usage('receipt', 'one of --receipt, --boot with --index, and --act');
  if ((options.boot === undefined) !== (options.index === undefined))
    throw usage('index', '--boot and --index together');
  const table = options.act === undefined ? OF_ENTRIES : OF_ACTS;
  if (!Object.hasOwn(table, options.format)) throw usage('format', Object.keys(table).join(', '));
  const asked = readAsked(options);
  if (options.out !== undefined) await checkOutputs([options.out]);
  const archive = await openArchive({ folder: options.archive, mode: 'read' });
  try {
    const content = await prove(archive, asked, options.format);
    if (options.out !== undefined) await writeOutputs([{ path: options.out, content }]);
    else if (typeof content === 'string') process.stdout.write(content);
    else throw usage('out', 'a file: this format is binary');
    return EXIT.done;
  } finally {
    await archive.close();
  }
}

type Asked =
  | { readonly receiptId: Uint8Array }
  | { readonly boot: string; readonly index: number }
  | { readonly act: number };

function readAsked({ receipt, boot, index, act }: ArchiveProveOptions): Asked {
  if (receipt !== undefined) return { receiptId: readId(receipt, 'receipt', 16) };
  if (act !== undefined) return { act: readCount(act, 'act') };
  readId(boot ?? '', 'boot', 16);
  return { boot: boot ?? '', index: readCount(index ?? '', 'index') };
}

function readCount(text: string, flag: string): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : null;
  if (value === null) throw usage(flag, 'a number');
  return value;
}

async function prove(archive: Archive, asked: Asked, format: string): Promise<Uint8Array | string> {
  if ('act' in asked) {
    const [proof] = await proveActs(archive, [asked.act]);
    const make = OF_ACTS[format];
    if (!proof || !make) throw new TypeError('no proof of an act that is there');
    say(`log key: ${noteVerifierKey(archiveOrigin(archive.id), archive.publicKey)}`);
    return make(archive, proof);
  }
  const place = 'boot' in asked ? asked : await placeOfReceipt(archive, bytes(asked.receiptId, 16, 'receipt'));
  const proof = await proveEntry(archive, place);
  const log = logOf(proof.evidence);
  say(`boot ${place.boot}, entry ${place.index}, under a report over ${proof.evidence.size} entries`);
  if (format === 'cose-receipt') say(`signed by archive ${archive.id}`);
  else say(`log key: ${noteVerifierKey(log.origin, log.key)}`);
  const make = OF_ENTRIES[format];
  if (!make) throw new TypeError('a format that was not checked');
  return make(archive, proof);
}
