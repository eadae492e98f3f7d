import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Edge, latin1, leafDigest, nodeDigest } from '../../archive/audit/hash-pass.ts';
import {
  type AuditProgress,
  type AuditReport,
  audit,
  auditHtml,
  auditJson,
  PASSES,
  ThreadCrew,
} from '../../archive/audit/index.ts';
import { finding } from '../../archive/findings.ts';
import { hex, leafHash, nodeHash, rootOf, sha256 } from '../../protocol/index.ts';
import type { SyntheticService } from '../support/synthetic-archive.ts';
import { PROGRAMS } from '../support/tsm-mount.ts';
import { ingestAll, openFor, Workplace } from './audit-support.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const place = new Workplace();
const folder = place.path('archive');
let service: SyntheticService;

beforeAll(async () => {
  service = await place.service({ receipts: 1_500, checkpoints: 15, boots: 3 });
  const archive = await openFor(folder, 'write');
  const done = await ingestAll(archive, service, { tenant: 'acme' });
  expect(done.findings).toEqual([]);
  await archive.close();
});

afterAll(() => {
  service.close();
  place.remove();
});

/** The thread's program, compiled from the sources under test. */
function program(): URL {
  const outdir = path.join(PROGRAMS, 'audit');
  mkdirSync(outdir, { recursive: true });
  buildSync({
    absWorkingDir: root,
    entryPoints: { 'audit-worker': 'archive/audit/audit-worker.ts' },
    outdir,
    bundle: true,
    packages: 'external',
    alias: { '@veritee/protocol': './protocol/index.ts', '@veritee/verifier': './verifier/index.ts' },
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    logLevel: 'warning',
  });
  return new URL(`file://${outdir}/audit-worker.js`);
}

async function audited(threads = 0, onProgress?: (progress: AuditProgress) => void): Promise<AuditReport> {
  const archive = await openFor(folder, 'read');
  const crew = threads > 0 ? new ThreadCrew(folder, threads, program()) : null;
  try {
    return await audit(archive, { ...(crew ? { crew } : {}), ...(onProgress ? { onProgress } : {}) });
  } finally {
    await crew?.close();
    await archive.close();
  }
}

describe('an archive that is whole', () => {
  test('is found so, entry by entry', async () => {
    const progress: AuditProgress[] = [];
    const report = await audited(0, (one) => progress.push(one));
    expect(report.findings).toEqual([]);
    expect(report.verdict).toBe('intact');
    expect(report.figures).toMatchObject({ boots: 3, evidence: 15, statements: 1_500, purged: 0, threads: 1 });
    expect(report.figures.entries).toBe(1_500 + 3 * 5); // session claims, three models, end
    for (const pass of ['evidence', 'hash', 'entries', 'blobs']) {
      expect(progress.filter((one) => one.pass === pass).at(-1)).toSatisfy((last) => last?.done === last?.total);
    }
  });

  test('is found so by threads too, in the same words', async () => {
    const [alone, threads] = [await audited(), await audited(3)];
    const words = ({ findings, figures: { passes: _, threads: __, ...figures }, verdict, head }: AuditReport) => ({
      findings,
      figures,
      verdict,
      head,
    });
    expect(words(threads)).toEqual(words(alone));
    expect(threads.figures.threads).toBe(3);
  });

  test('of which a thread cannot be opened is no verdict', async () => {
    const archive = await openFor(folder, 'read');
    const crew = new ThreadCrew(place.path('nowhere'), 1, program());
    await expect(audit(archive, { crew })).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' });
    await crew.close();
    await archive.close();
  });

  test('is not taken for another one', async () => {
    const other = await openFor(place.path('other'), 'write');
    const head = (await other.store.actHead())!.note;
    await other.close();
    const archive = await openFor(folder, 'read');
    await expect(audit(archive, { heads: [head] })).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' });
    await archive.close();
  });
});

describe('the tree of the first pass', () => {
  test('hashes as the protocol does', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 700 }), { minLength: 1, maxLength: 40 }), (entries) => {
        const edge = new Edge();
        for (const entry of entries) {
          expect(leafDigest(entry)).toBe(latin1(leafHash(entry)));
          edge.append(leafDigest(entry));
        }
        const own = edge.subtrees.reduceRight((right, left) => nodeDigest(left, right));
        expect(own).toBe(latin1(rootOf(entries.map((entry) => leafHash(entry)))));
      }),
    );
    const [left, right] = [sha256(Uint8Array.of(1)), sha256(Uint8Array.of(2))];
    expect(nodeDigest(latin1(left), latin1(right))).toBe(latin1(nodeHash(left, right)));
    expect(leafDigest(new Uint8Array(70_000))).toBe(latin1(leafHash(new Uint8Array(70_000)))); // longer than any entry
  });
});

describe('the report', () => {
  const defect = {
    ...finding('ENTRY_ALTERED', '<b>not</b> what it was', { boot: '0f'.repeat(16), index: 7 }),
    act: null,
  };
  const recorded = { ...finding('BOOT_LOST', 'it just stopped', { boot: '0e'.repeat(16) }), act: 12 };

  test('as JSON says what was audited, what was found and what it took', async () => {
    const report = await audited();
    const json = JSON.parse(
      JSON.stringify(auditJson({ ...report, findings: [defect], unlisted: { ENTRY_ALTERED: 3 } })),
    );
    expect(json).toMatchObject({
      profile: 'veritee/archive-audit/v1',
      archive: report.archive,
      head: { size: report.figures.acts, root: hex(report.head!.root) },
      findings: [
        { code: 'ENTRY_ALTERED', severity: 'critical', boot: '0f'.repeat(16), index: 7, object: null, act: null },
      ],
      unlisted: { ENTRY_ALTERED: 3 },
    });
    expect(Object.keys(json.figures.passes)).toEqual([...PASSES]);
  });

  test('as a page escapes what it shows and runs nothing', async () => {
    const report = await audited();
    const page = auditHtml({
      ...report,
      verdict: 'defects',
      findings: [recorded, defect],
      unlisted: { ENTRY_ALTERED: 3 },
    });
    expect(page).toContain('&lt;b&gt;not&lt;/b&gt; what it was');
    expect(page).toContain(`boot ${'0f'.repeat(16)}, entry 7`);
    expect(page).toContain('act 12');
    expect(page).toContain('3 more of ENTRY_ALTERED');
    expect(page).toContain('1 critical defect,');
    expect(page.indexOf('ENTRY_ALTERED')).toBeLessThan(page.indexOf('BOOT_LOST')); // the worst first
    expect(page).toContain('default-src &#39;none&#39;');
    expect(page).not.toMatch(/<script|<img|https?:/);
    expect(auditHtml(report)).toContain('nothing is missing and nothing was altered');
  });
});
