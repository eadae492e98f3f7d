/** What else the database says, held against the ledger: boots, findings, attachments, proofs, purges, single entries. */
import { bytes, equalBytes, type Hash, hex, rootFromInclusion } from '@veritee/protocol';
import { finding, findingKey } from '../findings.ts';
import { leafHashOf, sha256Of } from '../log/frontier.ts';
import type { ArchiveStore, BootRow } from '../store/port.ts';
import type { Defects } from './defects.ts';
import type { ProvenHead } from './evidence-pass.ts';
import { type ExpectedBoot, extentOf, type Ledger } from './ledger.ts';

const ROWS_AT_ONCE = 4096;
const MAX_OBJECT = 256;

export async function checkBoots(
  store: ArchiveStore,
  ledger: Ledger,
  heads: ReadonlyMap<string, ProvenHead>,
  defects: Defects,
): Promise<void> {
  const stored = new Map((await store.boots()).map((row) => [row.boot, row]));
  for (const due of ledger.boots.values()) {
    const row = stored.get(due.boot);
    stored.delete(due.boot);
    if (!row) {
      defects.add(finding('ENTRY_MISSING', 'the whole boot, which acts brought, is not stored', { boot: due.boot }));
      continue;
    }
    const wrong = differingBoot(row, due, heads);
    if (wrong === null) continue;
    const text = `what is stored about the boot is not what acts and evidence say: ${wrong}`;
    defects.add(finding('ROW_ALTERED', text, { boot: due.boot, object: 'boots' }));
  }
  for (const boot of stored.keys()) {
    defects.add(finding('ROW_ALTERED', 'a boot that no act brought', { boot, object: 'boots' }));
  }
}

function differingBoot(row: BootRow, due: ExpectedBoot, heads: ReadonlyMap<string, ProvenHead>): string | null {
  if (row.source !== due.source) return 'source';
  if (row.state !== due.state) return 'state';
  if (row.firstSeenMs < due.firstSeen.fromMs || row.firstSeenMs > due.firstSeen.toMs) return 'first seen';
  const { head } = row;
  if ((head && hex(head.reportData)) !== (due.head?.reportData ?? null)) return 'head';
  if (head && due.head && (head.size !== due.head.size || !equalBytes(head.root, due.head.root))) return 'head';
  const claims = [...due.evidence.keys()].map((name) => heads.get(name)?.sessionClaims).find(Boolean);
  if (claims && !equalBytes(row.sessionClaims, claims)) return 'session claims';
  const proven = due.platformBy === null ? { platform: null } : heads.get(due.platformBy);
  return proven && row.platform !== proven.platform ? 'platform' : null;
}

export async function checkFindings(store: ArchiveStore, ledger: Ledger, defects: Defects): Promise<void> {
  const stored = new Map((await store.findings()).map((row) => [findingKey(row), row]));
  for (const { finding: due, act, timeMs } of ledger.findings) {
    const key = findingKey(due);
    const row = stored.get(key);
    stored.delete(key);
    const { text, severity } = due;
    if (row?.text === text && row.severity === severity && row.act === act && row.firstSeenMs === timeMs) continue;
    const object = `findings ${key}`.slice(0, MAX_OBJECT);
    defects.add(finding('ROW_ALTERED', `the finding that act ${act} recorded is not stored as it was`, { object }));
  }
  for (const key of stored.keys()) {
    defects.add(
      finding('ROW_ALTERED', 'a finding that no act recorded', { object: `findings ${key}`.slice(0, MAX_OBJECT) }),
    );
  }
}

/** @returns blobs that attachments still refer to, in hex */
export async function checkAttachments(store: ArchiveStore, ledger: Ledger, defects: Defects): Promise<Set<string>> {
  const wanted = new Set<string>();
  const due = new Map<string, string>();
  for (const { boot, index, role, blob, act } of ledger.attachments) {
    const erased = ledger.erased.some(
      (range) => range.boot === boot && range.act > act && index >= range.from && index < range.to,
    );
    if (!erased) due.set(`${boot} ${index} ${role}`, hex(blob));
  }
  for (const boot of ledger.boots.keys()) {
    for (const row of await store.attachments({ boot, from: 0, to: Number.MAX_SAFE_INTEGER })) {
      const key = `${boot} ${row.index} ${row.role}`;
      const expected = due.get(key);
      due.delete(key);
      wanted.add(expected ?? hex(row.blob));
      if (expected === hex(row.blob)) continue;
      const text = `the ${row.role} part of entry ${row.index} is not the one that an act recorded`;
      defects.add(finding('ROW_ALTERED', text, { boot, index: row.index, object: 'attachments' }));
    }
  }
  for (const [key, blob] of due) {
    const [boot = '', index = '', role = ''] = key.split(' ');
    const text = `the ${role} part of entry ${index} is no longer attached, and no tombstone says why`;
    defects.add(finding('ENTRY_MISSING', text, { boot, index: Number(index), object: blob }));
    wanted.add(blob);
  }
  return wanted;
}

/** Single entries and whatever lies beyond the whole stretches. @returns how many entries there are */
export async function checkBeyond(store: ArchiveStore, due: ExpectedBoot, defects: Defects): Promise<number> {
  const { boot, spans } = due;
  const extent = extentOf(spans);
  const singles = new Map([...due.singles].filter(([index]) => index >= extent));
  let seen = 0;
  const [first] = await store.entriesFrom(boot, Number.MIN_SAFE_INTEGER, 1);
  if (first && first.index < 0) defects.add(stray(boot, first.index));
  for (let at = extent; ; ) {
    const rows = await store.entriesFrom(boot, at, ROWS_AT_ONCE);
    for (const { index, leaf, cose } of rows) {
      const single = singles.get(index);
      singles.delete(index);
      if (!single) defects.add(stray(boot, index));
      else if (!equalBytes(leaf, single.leaf) || (cose && !equalBytes(leafHashOf(cose), single.leaf))) {
        const text = `entry ${index} is not the one that act ${single.act} recorded`;
        defects.add(finding('ENTRY_ALTERED', text, { boot, index }));
      }
    }
    seen += rows.length;
    const last = rows.at(-1);
    if (!last || rows.length < ROWS_AT_ONCE) break;
    at = last.index + 1;
  }
  for (const { index, act } of singles.values()) {
    defects.add(finding('ENTRY_MISSING', `entry ${index}, which act ${act} recorded, is not stored`, { boot, index }));
  }
  return seen;
}

const stray = (boot: string, index: number) =>
  finding('ENTRY_ALTERED', `entry ${index} is stored, and no act brought it`, { boot, index });

/** Entries that are gone within whole stretches. */
export async function checkGaps(store: ArchiveStore, { boot, spans }: ExpectedBoot, defects: Defects): Promise<void> {
  for (const { from, to } of await store.gaps({ boot, from: 0, to: extentOf(spans) }, 100)) {
    const text = to - from === 1 ? `entry ${from} is not stored` : `entries ${from} to ${to - 1} are not stored`;
    defects.add(finding('ENTRY_MISSING', text, { boot, index: from }));
  }
}

/** Paths that came with receipts lead to the root of the evidence they name. */
export async function checkProofs(
  store: ArchiveStore,
  ledger: Ledger,
  due: ExpectedBoot,
  heads: ReadonlyMap<string, ProvenHead>,
  defects: Defects,
): Promise<void> {
  const { boot } = due;
  const unproven = new Map([...due.singles].filter(([, { proven }]) => proven));
  for (const { index, reportData, path } of await store.proofs({ boot, from: 0, to: Number.MAX_SAFE_INTEGER })) {
    const head = heads.get(hex(reportData));
    const leaf = due.singles.get(index)?.leaf ?? (await storedLeaf(store, boot, index));
    unproven.delete(index);
    const root = head && leaf && rootFromInclusion(leaf, index, head.size, path);
    if (head && root && equalBytes(root, head.root)) continue;
    const text = `the path of entry ${index} does not lead to the root of the evidence that it names`;
    defects.add(finding('ROW_ALTERED', text, { boot, index, object: 'proofs' }));
  }
  for (const { index, act } of unproven.values()) {
    const erased = ledger.erased.some((range) => range.boot === boot && index >= range.from && index < range.to);
    if (erased) continue;
    const text = `the path of entry ${index}, which act ${act} recorded, is not stored`;
    defects.add(finding('ENTRY_MISSING', text, { boot, index, object: 'proofs' }));
  }
}

async function storedLeaf(store: ArchiveStore, boot: string, index: number): Promise<Hash | null> {
  const leaf = await store.leaves({ boot, from: index, to: index + 1 });
  return leaf && bytes(leaf, 32, 'leaf');
}

/** Each tombstone says how many entries it erased and commits to their leaf hashes. */
export async function checkPurges(store: ArchiveStore, ledger: Ledger, defects: Defects): Promise<void> {
  for (const { index: act, ranges, entries, leaves } of ledger.purges) {
    const erased: Uint8Array[] = [];
    for (const { boot, from, to } of ranges) {
      for (let at = from; at < to; at += ROWS_AT_ONCE) {
        const rows = await store.entries({ boot: hex(boot), from: at, to: Math.min(to, at + ROWS_AT_ONCE) });
        for (const row of rows) {
          if (row.cose && row.purge === null) {
            const text = `entry ${row.index} has content, though act ${act} erased it`;
            defects.add(finding('ENTRY_ALTERED', text, { boot: hex(boot), index: row.index, object: `act ${act}` }));
          }
          if (row.purge === act) erased.push(row.leaf);
        }
      }
    }
    if (erased.length === entries && equalBytes(sha256Of(Buffer.concat(erased)), leaves)) continue;
    const text = `what is marked as erased by act ${act} is not what it says it erased`;
    defects.add(finding('ENTRY_ALTERED', text, { object: `act ${act}` }));
  }
}
