import { impactOf, parseAdvisory, search } from '@veritee/archive';
import { CodedError, fromUtf8 } from '@veritee/protocol';
import { EXIT, InputError } from '../exit.ts';
import { print, printJson, readInput } from '../io.ts';
import {
  type PageFlags,
  placeText,
  type ReceiptFlags,
  reading,
  readPage,
  readReceiptFlags,
  receiptJson,
  receiptLine,
} from './archive-search.ts';

export interface ArchiveAdvisoryOptions extends ReceiptFlags, PageFlags {
  readonly archive: string;
  readonly json: boolean;
}

/** Exit status 1 when receipts are affected, or may be: their evidence was never verified. */
export async function archiveAdvisory(file: string, options: ArchiveAdvisoryOptions): Promise<number> {
  const advisory = await readAdvisory(file);
  const filter = readReceiptFlags(options);
  const { after, limit } = readPage(options);
  return reading(options.archive, async ({ store }) => {
    const { ranges, ...impact } = await impactOf(store, advisory, filter);
    const { receipts, next } = await search(store, { ...filter, ranges }, { after, limit });
    const more = next && placeText(next);
    if (options.json) printJson({ ...impact, affected: receipts.map(receiptJson), next: more });
    else {
      const { affected, uncommitted, unknown, unaffected } = impact.receipts;
      print(
        `${impact.advisory}: ${affected} receipts affected, ${unaffected} not, ${unknown} under unverified evidence`,
      );
      if (uncommitted > 0) print(`  ${uncommitted} of the affected are under no report of their own`);
      for (const { boot, reasons, product, tcb, receipts: own } of impact.boots) {
        const parts = Object.entries(tcb ?? {}).map(([part, value]) => `${part} ${value}`);
        print(`  boot ${boot}: ${own} receipts, by ${reasons.join(' and ')}; ${product ?? 'Nitro'} ${parts.join(' ')}`);
      }
      for (const receipt of receipts) print(receiptLine(receipt));
      if (more !== null) print(`more with --after ${more}`);
    }
    return impact.receipts.affected + impact.receipts.unknown > 0 ? EXIT.contraindicated : EXIT.done;
  });
}

async function readAdvisory(file: string) {
  const content = await readInput(file);
  try {
    return parseAdvisory(fromUtf8(content));
  } catch (cause) {
    const reason = cause instanceof CodedError ? cause.message : 'not UTF-8';
    throw new InputError('POLICY_INVALID', `${file}: ${reason}`, { cause, field: file });
  }
}
