/**
 * What is missing or out of order among what is stored: gaps, broken chains of reports, clocks, boots that were never
 * followed. It reads the store's columns; whether these are true to the signed bytes is for the audit.
 */
import { hex } from '@veritee/protocol';
import { type Finding, finding } from '../findings.ts';
import type { ArchiveStore, BootRow, EvidenceRow, Place } from '../store/port.ts';

const PAGE = 1_000;
const STATEMENT_PAGE = 20_000;
const MAX_PLACES = 1_000;
const CLOCK_TOLERANCE_MS = 5_000;

/** Findings in order of boot; none of them is recorded here. */
export async function* checkCompleteness(store: ArchiveStore): AsyncIterable<Finding> {
  for (const row of await store.boots()) {
    yield* checkEntries(store, row);
    yield* checkChain(store, row);
    yield* checkClock(store, row);
  }
  for (const place of await store.reusedReceiptIds(MAX_PLACES)) {
    yield finding('RECEIPT_ID_REUSED', 'another statement bears the same receipt id', place);
  }
}

async function* checkEntries(store: ArchiveStore, { boot, head }: BootRow): AsyncIterable<Finding> {
  const { count, end } = await store.extent(boot);
  if (!head) {
    if (count < end) {
      yield finding('LOG_NOT_FOLLOWED', `${count} single entries of a log of at least ${end}`, { boot });
    }
    return;
  }
  for (const { from, to } of await store.gaps({ boot, from: 0, to: head.size }, MAX_PLACES)) {
    yield finding('LOG_GAP', `${to - from} entries are missing from ${from} on`, { boot, index: from });
  }
}

/** One first report, and each other one names the one before it; all that a followed boot had are here. */
async function* checkChain(store: ArchiveStore, { boot, head }: BootRow): AsyncIterable<Finding> {
  const links = new Map<string, Pick<EvidenceRow, 'size' | 'previousReportData'>>();
  const named = new Map<string, string>();
  for (let skip = 0; ; skip += PAGE) {
    const page = await store.evidenceOf(boot, skip, PAGE);
    for (const { reportData, size, previousReportData } of page) {
      const name = hex(reportData);
      links.set(name, { size, previousReportData });
      const previous = previousReportData ? hex(previousReportData) : '';
      if (named.has(previous)) {
        yield finding('CHAIN_BROKEN', 'two reports name the same one before them', { boot, index: size, object: name });
      }
      named.set(previous, name);
    }
    if (page.length < PAGE) break;
  }
  if (!head) return; // of a boot known from files, reports may well be missing
  for (const [name, { size, previousReportData }] of links) {
    if (size > head.size || !previousReportData) continue;
    const before = links.get(hex(previousReportData));
    const problem = !before
      ? 'the report before this one is missing'
      : before.size > size
        ? 'the report before this one covers more entries'
        : null;
    if (problem) yield finding('CHAIN_BROKEN', problem, { boot, index: size, object: name });
  }
  if (!named.has('')) yield finding('CHAIN_BROKEN', 'the first report of this boot is missing', { boot });
  if (!links.has(hex(head.reportData))) {
    yield finding('EVIDENCE_MISSING', 'the report over the newest head is missing', {
      boot,
      object: hex(head.reportData),
    });
  }
}

/** The first place where the claimed time runs backwards. */
async function* checkClock(store: ArchiveStore, { boot }: BootRow): AsyncIterable<Finding> {
  let latestMs = 0;
  let after: Place | null = null;
  for (;;) {
    const page = await store.statements({ boot }, { after, limit: STATEMENT_PAGE });
    for (const { index, timeMs } of page) {
      if (timeMs < latestMs - CLOCK_TOLERANCE_MS) {
        yield finding('CLOCK_BACKWARDS', `claims a time ${latestMs - timeMs} ms before an earlier entry`, {
          boot,
          index,
        });
        return;
      }
      latestMs = Math.max(latestMs, timeMs);
    }
    const last = page.at(-1);
    if (!last || page.length < STATEMENT_PAGE) return;
    after = { boot, index: last.index };
  }
}
