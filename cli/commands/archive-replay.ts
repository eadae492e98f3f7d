import { type EvidenceRow, openArchive, type Replay, replay, type Today } from '@veritee/archive';
import { bytes, fromHex, utf8 } from '@veritee/protocol';
import { AUTHENTICITY } from '@veritee/verifier';
import { EXIT, exitOfVerdict, InputError } from '../exit.ts';
import { readAnchors, readCrl, readEndorsement, readPolicy, readTime, usage } from '../inputs.ts';
import { print, printJson, readInput } from '../io.ts';

export interface ArchiveReplayOptions {
  readonly archive: string;
  readonly receipt?: string;
  readonly evidence?: string;
  readonly policy?: string;
  readonly trustAnchor: readonly string[];
  readonly endorsement: readonly string[];
  readonly crl: readonly string[];
  readonly at?: string;
  readonly json: boolean;
}

/** Exit status 1 when what was frozen does not give its verdict again, or when today's policy does not affirm it. */
export async function archiveReplay(options: ArchiveReplayOptions): Promise<number> {
  const today = await readToday(options);
  const archive = await openArchive({ folder: options.archive, mode: 'read' });
  try {
    const row = await find(archive.store, options);
    const result = await replay(archive, row, today);
    if (options.json) printJson(result);
    else printReplay(result);
    if (!result.same) return EXIT.contraindicated;
    return result.today ? exitOfVerdict(result.today.verdict) : EXIT.done;
  } finally {
    await archive.close();
  }
}

type Store = Awaited<ReturnType<typeof openArchive>>['store'];

async function find(store: Store, { receipt, evidence }: ArchiveReplayOptions): Promise<EvidenceRow> {
  if ((receipt === undefined) === (evidence === undefined)) throw usage('receipt', 'either --receipt or --evidence');
  if (evidence !== undefined) {
    const reportData = fromHex(evidence);
    if (reportData?.length !== 64) throw usage('evidence', 'REPORT_DATA as 128 hex digits');
    return (
      (await store.evidence(bytes(reportData, 64, 'evidence'))) ?? unknown('evidence', 'a REPORT_DATA of this archive')
    );
  }
  const id = fromHex(receipt ?? '');
  if (id?.length !== 16) throw usage('receipt', '32 hex digits');
  const place = await store.placeOf(bytes(id, 16, 'receipt'));
  if (!place) return unknown('receipt', 'a receipt of this archive');
  return (
    (await store.firstEvidenceOver(place.boot, place.index)) ?? unknown('receipt', 'a receipt that a report covers')
  );
}

const unknown = (flag: string, want: string): never => {
  throw new InputError('USAGE', `--${flag}: want ${want}`, { field: flag });
};

async function readToday(options: ArchiveReplayOptions): Promise<Today | null> {
  const { policy, trustAnchor, endorsement, crl, at } = options;
  if (policy === undefined) {
    if (at !== undefined || trustAnchor.length + endorsement.length + crl.length > 0)
      throw usage('policy', 'a policy of today, which --at, --trust-anchor, --endorsement and --crl go with');
    return null;
  }
  if (policy !== AUTHENTICITY.id) await readPolicy(policy);
  await readAnchors(trustAnchor);
  return {
    atMs: readTime(at).getTime(),
    inputs: {
      policy: policy === AUTHENTICITY.id ? utf8(policy) : await readInput(policy),
      anchors: await Promise.all(trustAnchor.map(readInput)),
      endorsements: await Promise.all(endorsement.map(readEndorsement)),
      crls: await Promise.all(crl.map(readCrl)),
    },
  };
}

function printReplay({ boot, reportData, frozen, same, again, today }: Replay): void {
  print(`boot ${boot}, evidence ${reportData}`);
  print(
    `frozen ${frozen.at}: ${frozen.verdict} ${frozen.codes.join(' ')} (policy ${frozen.policy}, ${frozen.verifier})`,
  );
  print(same ? 'replayed: the same' : `replayed: ${again.verdict} ${again.codes.join(' ')}: NOT WHAT WAS FROZEN`);
  if (!today) return;
  print(`today ${today.at}: ${today.verdict} ${today.codes.join(' ')} (policy ${today.policy})`);
  for (const { check, frozen: was, today: is } of today.changes)
    print(`  ${check}: ${was ?? 'none'} → ${is ?? 'none'}`);
}
