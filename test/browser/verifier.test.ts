import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { NITRO_EVIDENCE } from '../verifier/nitro-support.ts';
import { SNP_EVIDENCE } from '../verifier/snp-support.ts';
import { findChromium, INSECURE_HOST, launch } from './chromium.ts';
import { allJobs, realJobs } from './jobs.ts';
import { type Answer, type Job, outcomeOf, pack } from './run.ts';
import { type Site, serveSite } from './site.ts';

const executable = findChromium();

interface Visit {
  readonly answer: unknown;
  /** Of every request the page made, whoever it was to. */
  readonly urls: readonly string[];
  readonly complaints: readonly string[];
}

describe.skipIf(!executable)('in Chromium, under a policy without eval', () => {
  let jobs: readonly Job[];
  let inNode: Answer['outcomes'];
  let site: Site;
  let browser: Browser;

  beforeAll(async () => {
    jobs = await allJobs();
    const outcomes: Record<string, Answer['outcomes'][string]> = {};
    for (const job of jobs) outcomes[job.name] = await outcomeOf(job);
    inNode = JSON.parse(JSON.stringify(outcomes));
    site = await serveSite(JSON.stringify(pack(jobs)));
    browser = await launch(executable ?? '');
  });

  afterAll(async () => {
    await browser?.close();
    site?.close();
  });

  async function visit(host: string, target: string): Promise<Visit> {
    const context = await browser.newContext();
    const page: Page = await context.newPage();
    const urls: string[] = [];
    const complaints: string[] = [];
    context.on('request', (request) => urls.push(request.url()));
    page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
    const failed = new Promise<never>((_, reject) => page.once('pageerror', reject));
    const origin = `http://${host}:${site.port}`;
    // The answer is the last thing a page does, so that all it did before is known here by then.
    const [answer] = await Promise.all([
      Promise.race([site.answer(), failed]),
      page.waitForRequest(`${origin}/answer`, { timeout: 0 }),
      page.goto(`${origin}${target}`),
    ]);
    const given = { answer, urls: urls.map((url) => url.replace(origin, '')), complaints };
    await context.close();
    return given;
  }

  /** A dynamic import splits a chunk off, which keeps the name of what it holds. */
  const CURVE = /^\/weierstrass-[A-Z0-9]+\.js$/;

  const PATHS = [
    { name: 'WebCrypto', host: '127.0.0.1', query: '', native: ['ECDSA', 'Ed25519', 'RSA-PSS'] },
    {
      name: 'WebCrypto without P-384 and Ed25519',
      host: '127.0.0.1',
      query: '?without=P-384,Ed25519',
      native: ['RSA-PSS'],
    },
    { name: 'no WebCrypto, for want of a secure context', host: INSECURE_HOST, query: '', native: null },
  ] as const;

  test.each(PATHS)('$name: every outcome is what Node comes to', async ({ host, query, native }) => {
    const { answer, urls, complaints } = await visit(host, `/${query}`);
    expect(answer).not.toHaveProperty('failed');
    const { secureContext, verifiedByWebCrypto, outcomes } = answer as Answer;

    expect(Object.keys(outcomes)).toEqual(jobs.map(({ name }) => name));
    for (const { name } of jobs) expect({ name, outcome: outcomes[name] }).toEqual({ name, outcome: inNode[name] });

    expect(secureContext).toBe(native !== null);
    expect(verifiedByWebCrypto && Object.keys(verifiedByWebCrypto).sort()).toEqual(native);
    // The curve in JavaScript comes only where the browser has none.
    expect(urls.some((url) => CURVE.test(url))).toBe(native === null || !native.some((name) => name === 'ECDSA'));

    const own = ['/jobs.json', '/answer', `/${query}`];
    expect(urls.filter((url) => !own.includes(url) && !/^\/[\w-]+\.js$/.test(url))).toEqual([]);
    expect(urls).toEqual(expect.arrayContaining(own));
    expect(complaints).toEqual([]);
    expect(site.violations).toEqual([]);
  });

  test('the jobs hold every kind and verdict, and real evidence gets the verdict of its index', () => {
    const wholes = jobs.flatMap(({ name, input }) => (input ? [(inNode[name] as { whole: object }).whole] : []));
    const values = (key: string) => new Set(wholes.map((whole) => (whole as Record<string, unknown>)[key]));
    expect(values('kind')).toEqual(
      new Set(['receipt', 'attestation', 'evidence', 'snp-report', 'snp-hcl', 'nitro-document', 'air-receipt', null]),
    );
    expect(values('verdict')).toEqual(new Set(['affirming', 'contraindicated', 'unsupported']));
    expect(values('strength')).toEqual(new Set(['hardware-committed', 'session-signed', null]));
    const real = realJobs();
    for (const { name, genuine } of real) {
      const { verdict } = (inNode[name] as { whole: { verdict: string } }).whole;
      expect(`${name}: ${verdict === 'affirming'}`).toBe(`${name}: ${genuine}`);
    }
    expect(real.length).toBeGreaterThan((SNP_EVIDENCE ? 30 : -1) + (NITRO_EVIDENCE ? 80 : 0));
  });

  test('the policy is in force, and a breach is seen here', async () => {
    const elsewhere = `http://localhost:${site.port}/`;
    const { answer, complaints } = await visit('127.0.0.1', `/forbidden?elsewhere=${encodeURIComponent(elsewhere)}`);
    expect(answer).toEqual({ eval: true, inline: true, elsewhere: true });
    expect(complaints.length).toBeGreaterThanOrEqual(2);
    const reported = () =>
      site.violations.map(({ 'csp-report': report }) => `${report['effective-directive']} ${report['blocked-uri']}`);
    // Reports are sent on their own, apart from what the page itself sends.
    await vi.waitFor(() => expect(reported()).toHaveLength(3), { timeout: 10_000 });
    expect(reported().sort()).toEqual([`connect-src ${elsewhere}`, 'script-src eval', 'script-src-elem inline']);
  });
});
