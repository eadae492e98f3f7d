import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { strFromU8, strToU8, unzipSync, zipSync } from 'fflate';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Archive } from '../../archive/archive.ts';
import { type Exported, exportBundle } from '../../archive/export/bundle.ts';
import { csvLine } from '../../archive/export/csv.ts';
import { checkBundle, type Report } from '../../archive/export/offline/check.ts';
import { zipFiles } from '../../archive/export/offline/zip.ts';
import { scopeOf } from '../../archive/retention/scope.ts';
import { hex } from '../../protocol/index.ts';
import { findChromium, launch } from '../browser/chromium.ts';
import { temporaryFolder } from '../support/cli.ts';
import { Filler, open, POLICY } from './filled.ts';

const { folder, remove } = temporaryFolder();
const file = path.join(folder, 'export.zip');
const DAY = 86_400_000;
const T0 = Date.UTC(2026, 4, 1);
let archive: Archive;
let filler: Filler;
let verifier: { page: string; script: string };
let exported: Exported;

beforeAll(async () => {
  const built = (await import(String('../../tools/offline-verifier.mjs'))) as {
    offlineVerifier(): Promise<typeof verifier>;
  };
  verifier = await built.offlineVerifier();
  archive = await open(path.join(folder, 'archive'));
  filler = await Filler.start(archive, (good) => ({ ...good, policy: POLICY }));
  await filler.add(4, { tenant: 'acme', retentionClass: 'default' }, { timeMs: T0, private: true });
  await filler.add(3, { tenant: '=cmd()', retentionClass: 'default' }, { timeMs: T0 + DAY });
  await filler.add(300, { tenant: 'acme', retentionClass: 'long' }, { timeMs: T0 + 2 * DAY });
  exported = await exportBundle(archive, file, { scope: scopeOf({}), withContent: false, verifier });
});
afterAll(async () => {
  await archive?.close();
  remove();
});

const zipped = () => unzipSync(readFileSync(file));
const bundle = (files: Readonly<Record<string, Uint8Array>>) => ({
  names: Object.keys(files),
  read: async (name: string) => (files[name] ? new Uint8Array(files[name]) : null),
});
const check = (files: Readonly<Record<string, Uint8Array>> = zipped()) => checkBundle(bundle(files), { anchors: [] });

describe('a bundle', () => {
  test('holds, and says what it is', async () => {
    expect(exported).toMatchObject({ receipts: 307, withoutEvidence: 0, evidence: 3 });
    const report = await check();
    expect(report).toMatchObject({
      holds: true,
      archive: archive.id,
      receipts: { total: 307, affirming: 307, hardwareCommitted: 307 },
      evidence: 3,
      platforms: ['simulated-snp'],
      problems: [],
    });
  });

  test('its making is in the archive’s log', async () => {
    const [row] = await archive.store.actsOf('export');
    expect(row?.index).toBe(exported.act);
  });

  test('the index has a line for each receipt, with the place of its bytes, and no formula', () => {
    const files = zipped();
    const [head, ...lines] = strFromU8(files['index.csv']!).trim().split('\r\n');
    expect(lines).toHaveLength(307);
    const names = head!.split(',');
    const cells = lines.map((line) => Object.fromEntries(line.split(',').map((cell, i) => [names[i]!, cell])));
    expect(cells[4]!['tenant']).toBe("'=cmd()");
    for (const [i, cell] of cells.entries()) {
      const at = Number(cell['offset']);
      const receipt = files[cell['file']!]!.subarray(at, at + Number(cell['bytes']));
      expect(Buffer.from(receipt).includes(Buffer.from(filler.answers[i]!.entry))).toBe(true);
      expect(cell['receipt_id']).toBe(hex(filler.answers[i]!.statement.receiptId));
    }
  });

  test.each([
    ['a tenant', { tenant: 'acme' }, 304],
    ['a range of time', { fromMs: T0 + DAY, toMs: T0 + 2 * DAY }, 3],
    ['a class', { retentionClass: 'long' }, 300],
    ['nothing', { model: 'another' }, 0],
  ])('for %s', async (_, input, receipts) => {
    const other = path.join(folder, 'other.zip');
    const made = await exportBundle(archive, other, { scope: scopeOf(input), withContent: false, verifier });
    expect(made.receipts).toBe(receipts);
    const report = await checkBundle(zipFiles(readFileSync(other)), { anchors: [] });
    expect(report).toMatchObject({ holds: true, receipts: { total: receipts, affirming: receipts } });
  });

  test('for a case, by receipt ids, with salts and bodies', async () => {
    const other = path.join(folder, 'case.zip');
    const receiptIds = [3, 0].map((i) => filler.answers[i]!.statement.receiptId);
    await exportBundle(archive, other, { scope: scopeOf({ receiptIds }), withContent: true, verifier });
    const files = unzipSync(readFileSync(other));
    const content = Object.keys(files).filter((name) => name.startsWith('content/'));
    expect(content).toHaveLength(6);
    expect(files[`content/${hex(receiptIds[0]!)}.request`]).toEqual(new Uint8Array(filler.answers[3]!.request.body));
    expect(await check(files)).toMatchObject({ holds: true, receipts: { total: 2 } });
    expect(Object.keys(zipped()).filter((name) => name.startsWith('content/'))).toEqual([]);
  });

  test('one that cannot be written leaves nothing behind', async () => {
    const nowhere = path.join(folder, 'missing', 'x.zip');
    const made = exportBundle(archive, nowhere, { scope: scopeOf({}), withContent: false, verifier });
    await expect(made).rejects.toMatchObject({ code: 'FILE_UNWRITABLE' });
  });
});

describe('every altered file is named', () => {
  test('a byte of any file, a missing file, a file too many', async () => {
    const few = path.join(folder, 'few.zip');
    const scope = scopeOf({ fromMs: T0 + DAY, toMs: T0 + 2 * DAY });
    await exportBundle(archive, few, { scope, withContent: false, verifier });
    const good = unzipSync(readFileSync(few));
    for (const name of Object.keys(good)) {
      const altered = new Uint8Array(good[name]!);
      altered[altered.length >> 1] = (altered[altered.length >> 1] as number) ^ 1;
      const report = await check({ ...good, [name]: altered });
      expect([name, report.holds]).toEqual([name, false]);
      const named = name === 'export.tlog-proof' ? 'export.cose' : name;
      const commits = name === 'manifest.json' ? expect.stringMatching(/./) : named;
      expect(report.problems.map(({ place }) => place)).toContainEqual(commits);
      const { [name]: _, ...rest } = good;
      expect([name, (await check(rest)).holds]).toEqual([name, false]);
    }
    expect(Object.keys(good).length).toBeGreaterThan(10);
    const report = await check({ ...good, 'receipts/more.txt': strToU8('more') });
    expect(report.problems).toEqual([expect.objectContaining({ place: 'receipts/more.txt' })]);
  });

  test('a manifest that was made to fit is not what the archive recorded', async () => {
    const good = zipped();
    const manifest = JSON.parse(strFromU8(good['manifest.json']!));
    const report = await check({
      ...good,
      'manifest.json': strToU8(JSON.stringify({ ...manifest, createdAt: 'now' })),
    });
    expect(report.problems).toEqual([expect.objectContaining({ place: 'export.cose' })]);
  });

  test('another archive than was asked for', async () => {
    const report = await checkBundle(bundle(zipped()), { anchors: [], archive: '0'.repeat(32) });
    expect(report.problems).toEqual([expect.objectContaining({ code: 'ARCHIVE_INVALID' })]);
  });

  test('an auditor’s own policy and roots are used in place of the archive’s', async () => {
    const { readPolicy } = await import('../../verifier/index.ts');
    const { strictPolicy } = await import('../support/policies.ts');
    const policy = readPolicy(strToU8(JSON.stringify(strictPolicy())));
    const report = await checkBundle(bundle(zipped()), { anchors: [], policy });
    expect(report).toMatchObject({ holds: false, receipts: { affirming: 0 }, ownAnchors: 0 });
    expect(report.problems[0]?.code).toBe('CHAIN_UNTRUSTED');
  });
});

describe('zip reading', () => {
  test('a zip of anybody’s making is refused by a code, wherever it is cut or altered', async () => {
    const small = zipSync({ 'a.txt': strToU8('a'.repeat(300)), 'b.txt': strToU8('b') });
    expect(await zipFiles(small).read('a.txt')).toEqual(strToU8('a'.repeat(300)));
    expect(await zipFiles(small).read('c.txt')).toBe(null);
    for (let length = 0; length < small.length; length++) {
      expect(() => zipFiles(small.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'EVIDENCE_MALFORMED' }),
      );
    }
    for (let at = 0; at < small.length; at++) {
      const altered = small.slice();
      altered[at] = (altered[at] as number) ^ 0xff;
      await Promise.resolve()
        .then(async () => {
          const files = zipFiles(altered);
          for (const name of files.names) await files.read(name);
        })
        .catch((error: unknown) => expect(error).toMatchObject({ name: 'EvidenceError' }));
    }
    for (const name of ['../a', '/etc/passwd', 'a/../b', 'C:\\a']) {
      expect(() => zipFiles(zipSync({ [name]: strToU8('x') }))).toThrow(expect.objectContaining({ field: 'zip' }));
    }
  });
});

test('CSV fields are quoted, and none is a formula', () => {
  expect(csvLine(['a,b', 'say "x"', '=1+1', '-2', '@x', '+y', null, 3])).toBe(
    '"a,b","say ""x""",\'=1+1,\'-2,\'@x,\'+y,,3\r\n',
  );
});

/** Ten years on, by the clock of whoever verifies. */
const LATER = Date.UTC(2036, 10, 21);
const CLOCK = `data:text/javascript,${encodeURIComponent(
  `const Real = Date, shift = ${LATER} - Real.now();
   globalThis.Date = class extends Real { constructor(...a) { a.length ? super(...a) : super(Real.now() + shift); } static now() { return Real.now() + shift; } };`,
)}`;

describe('ten years on, offline', () => {
  const unpacked = path.join(folder, 'unpacked');

  beforeAll(() => {
    for (const [name, content] of Object.entries(zipped())) {
      mkdirSync(path.dirname(path.join(unpacked, name)), { recursive: true });
      writeFileSync(path.join(unpacked, name), content);
    }
  });

  const node = (args: readonly string[]) =>
    spawnSync(process.execPath, ['--import', CLOCK, path.join(unpacked, 'verify.mjs'), ...args], {
      cwd: unpacked,
      env: { PATH: process.env['PATH'] },
      encoding: 'utf8',
    });

  test('the script uses no module of the network, and nothing outside itself', () => {
    const modules = [...verifier.script.matchAll(/from"([^"]+)"|import\("([^"]+)"\)/g)].map(([, a, b]) => a ?? b);
    expect(new Set(modules)).toEqual(new Set(['node:fs', 'node:path', 'node:util']));
    expect(verifier.script).not.toMatch(/\bfetch\(|WebSocket|XMLHttpRequest/);
  });

  test('in Node, from the folder and from the zip', () => {
    for (const where of [[], [file]]) {
      const { status, stdout, stderr } = node([...where, '--json', '--archive', archive.id]);
      expect([status, stderr]).toEqual([0, '']);
      expect(JSON.parse(stdout) as Report).toMatchObject({ holds: true, receipts: { total: 307, affirming: 307 } });
    }
    expect(node([]).stdout).toMatch(/^Everything holds\.\n(.|\n)*SIMULATED/);
  });

  test('in Node, an altered file is exit status 1, a wrong option 2', () => {
    const altered = path.join(unpacked, 'index.csv');
    const good = readFileSync(altered);
    writeFileSync(altered, 'x');
    expect(node([])).toMatchObject({ status: 1, stdout: expect.stringContaining('EVIDENCE_MALFORMED at index.csv') });
    rmSync(altered);
    expect(node([])).toMatchObject({ status: 1, stdout: expect.stringContaining('EVIDENCE_MISSING at index.csv') });
    writeFileSync(altered, good);
    expect(node(['--nonsense'])).toMatchObject({ status: 2 });
    expect(node(['nowhere'])).toMatchObject({ status: 2 });
  });

  const executable = findChromium();
  test.skipIf(!executable)('in Chromium, from a file, with its own security policy in force', async () => {
    const browser: Browser = await launch(executable ?? '');
    try {
      const context = await browser.newContext({ offline: true });
      await context.clock.install({ time: LATER });
      const page = await context.newPage();
      const complaints: string[] = [];
      const urls: string[] = [];
      page.on('console', (message) => complaints.push(message.text()));
      page.on('pageerror', (error) => complaints.push(String(error)));
      context.on('request', (request) => urls.push(request.url()));
      const stopped: (string | undefined)[] = [];
      context.on('requestfailed', (request) => stopped.push(request.failure()?.errorText));
      await page.goto(`file://${path.join(unpacked, 'verify.html')}`);
      expect(await page.evaluate('new Date().getUTCFullYear()')).toBe(2036);
      await page.setInputFiles('#file', file);
      await page.waitForSelector('#status.holds, #status.fails');
      expect(await page.textContent('#status')).toBe('Everything holds.');
      expect(await page.textContent('#lines')).toContain('307 receipts: 307 affirming');
      const damaged = zipped();
      damaged['index.csv'] = strToU8('x');
      const bad = path.join(folder, 'bad.zip');
      writeFileSync(bad, zipSync(damaged));
      await page.setInputFiles('#file', bad);
      await page.waitForSelector('#status.fails');
      expect(await page.textContent('#lines')).toContain('EVIDENCE_MALFORMED at index.csv');
      expect(urls).toEqual([`file://${path.join(unpacked, 'verify.html')}`]);
      await page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=https://veritee.test/x>')");
      await expect.poll(() => stopped).toEqual(['csp']);
      expect(complaints.filter((text) => !text.includes('Content Security Policy'))).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});
