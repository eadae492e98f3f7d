/** `veritee archive audit`, `search`, `advisory` and `replay`, as they are called. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { run } from '../../cli/program.ts';
import { hex } from '../../protocol/index.ts';
import { strictPolicy } from '../support/policies.ts';
import { machineOf, type SyntheticService } from '../support/synthetic-archive.ts';
import { ingestAll, openFor, Workplace } from './audit-support.ts';

const place = new Workplace();
const folder = place.path('archive');
let service: SyntheticService;

beforeAll(async () => {
  service = await place.service({ receipts: 300, checkpoints: 6, boots: 2 });
  const archive = await openFor(folder, 'write');
  await ingestAll(archive, service, { tenant: 'acme' });
  writeFileSync(place.path('head'), (await archive.store.actHead())!.note);
  await archive.close();
});

afterEach(() => vi.restoreAllMocks());

afterAll(() => {
  service.close();
  place.remove();
});

async function veritee(...args: readonly string[]) {
  let stdout = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += String(text);
    return true;
  });
  const status = await run(['archive', ...args]);
  vi.restoreAllMocks();
  return { status, stdout };
}

const json = ({ stdout }: { readonly stdout: string }) => JSON.parse(stdout);

describe('audit', () => {
  test('of a whole archive: status 0, a page, and JSON', async () => {
    const page = place.path('report.html');
    const done = await veritee(
      ...['audit', '--archive', folder, '--threads', '1', '--report', page, '--head', place.path('head'), '--json'],
    );
    expect(done.status).toBe(0);
    expect(json(done)).toMatchObject({ verdict: 'intact', findings: [], figures: { statements: 300, threads: 1 } });
    expect(readFileSync(page, 'utf8')).toContain('nothing is missing and nothing was altered');
  });

  test('of an altered one: status 1, each defect on a line', async () => {
    const copy = place.copy(folder);
    const db = new Database(path.join(copy, 'archive.sqlite'));
    db.prepare("UPDATE statements SET outcome = 'ok' WHERE outcome <> 'ok'").run();
    db.close();
    const done = await veritee('audit', '--archive', copy, '--threads', '1');
    rmSync(copy, { recursive: true });
    expect(done.status).toBe(1);
    expect(done.stdout).toMatch(/^critical: ROW_ALTERED: boot [0-9a-f]{32}, entry 50, statements: .* outcome$/m);
  });

  test.each([
    [['--threads', '0'], 'USAGE'],
    [['--head', '/nowhere'], 'FILE_UNREADABLE'],
    [['--report', '/nowhere/report.html'], 'FILE_UNWRITABLE'],
  ])('refuses %j', async (flags, code) => {
    await expect(veritee('audit', '--archive', folder, ...flags)).rejects.toMatchObject({ code });
  });

  test('refuses a folder without an archive', async () => {
    await expect(veritee('audit', '--archive', place.path('none'))).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' });
  });
});

describe('search', () => {
  test('page by page', async () => {
    const first = json(await veritee('search', '--archive', folder, '--limit', '200', '--json'));
    const second = json(
      await veritee('search', '--archive', folder, '--limit', '200', '--after', first.next, '--json'),
    );
    expect([first.receipts.length, second.receipts.length, second.next]).toEqual([200, 100, null]);
    expect(first.receipts[0]).toMatchObject({ tenant: 'acme', evidence: { verdict: 'affirming', product: 'Milan' } });
  });

  test('counts, and lists for people', async () => {
    const flags = ['search', '--archive', folder, '--tcb-below', 'Milan:snp=27', '--tenant', 'acme'];
    expect((await veritee(...flags, '--count')).stdout).toBe('150\n');
    const { stdout } = await veritee(...flags, '--limit', '2');
    expect(stdout.split('\n')).toHaveLength(4);
    expect(stdout).toMatch(
      /^[0-9a-f]{32} [0-9a-f]{32}:4 2026-06-01T11:30:00\.004Z triage\/2 ok acme affirming simulated-snp$/m,
    );
    expect(stdout).toMatch(/^more with --after [0-9a-f]{32}:5$/m);
  });

  test.each([
    ['--boot', 'zz'],
    ['--from', 'yesterday'],
    ['--model', 'a/b/c'],
    ['--limit', '0'],
    ['--after', 'x'],
    ['--tcb-below', 'Milan'],
    ['--verdict', 'fine'],
    ['--measurement', 'abcd'],
  ])('refuses %s %s', async (...flags) => {
    await expect(veritee('search', '--archive', folder, ...flags)).rejects.toMatchObject({ code: 'USAGE' });
  });
});

describe('advisory', () => {
  const file = place.path('advisory.json');
  const advisory = (change: object) =>
    writeFileSync(
      file,
      JSON.stringify({
        profile: 'veritee/advisory/v1',
        id: 'X-1',
        minimumTcb: [],
        deniedMeasurements: [],
        deniedChips: [],
        ...change,
      }),
    );

  test('counts and lists what is affected: status 1', async () => {
    advisory({ deniedChips: [hex(machineOf(1).chipId)] });
    const done = await veritee('advisory', file, '--archive', folder, '--limit', '10', '--json');
    expect(done.status).toBe(1);
    expect(json(done)).toMatchObject({ advisory: 'X-1', receipts: { affected: 150, unaffected: 150 } });
    expect(json(done).affected).toHaveLength(10);
    const { stdout } = await veritee('advisory', file, '--archive', folder, '--limit', '1');
    expect(stdout).toContain('X-1: 150 receipts affected, 150 not, 0 under unverified evidence');
  });

  test('that affects nothing: status 0', async () => {
    advisory({ minimumTcb: [{ product: 'Genoa', snp: 250 }] });
    expect((await veritee('advisory', file, '--archive', folder)).status).toBe(0);
  });

  test('that is none is refused', async () => {
    advisory({});
    await expect(veritee('advisory', file, '--archive', folder)).rejects.toMatchObject({ code: 'POLICY_INVALID' });
  });
});

describe('replay', () => {
  const receipt = () => hex(service.logs[0]!.receiptIds[3]!);

  test('of the report over a receipt: the same', async () => {
    const done = await veritee('replay', '--archive', folder, '--receipt', receipt(), '--json');
    expect(done.status).toBe(0);
    expect(json(done)).toMatchObject({ same: true, frozen: { verdict: 'affirming' }, today: null });
  });

  test('beside a policy of today that does not affirm it: status 1, with the difference', async () => {
    writeFileSync(place.path('strict.json'), JSON.stringify(strictPolicy()));
    writeFileSync(place.path('root.der'), service.root);
    const done = await veritee(
      ...['replay', '--archive', folder, '--receipt', receipt(), '--policy', place.path('strict.json')],
      ...['--trust-anchor', place.path('root.der'), '--at', '2026-06-01T12:00:00Z'],
    );
    expect(done.status).toBe(1);
    expect(done.stdout).toContain('replayed: the same');
    expect(done.stdout).toMatch(/policy\.minimum-tcb: skipped: .* → fail: /);
  });

  test.each([
    [['--receipt', '00'.repeat(16)]],
    [['--evidence', '00'.repeat(64)]],
    [['--receipt', '00'.repeat(16), '--evidence', '00'.repeat(64)]],
    [['--receipt', 'x']],
    [['--evidence', '00'.repeat(64), '--at', '2026-06-01T12:00:00Z']],
  ])('refuses %j', async (flags) => {
    await expect(veritee('replay', '--archive', folder, ...flags)).rejects.toMatchObject({ code: 'USAGE' });
  });
});
