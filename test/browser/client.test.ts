import { cpSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readTensorProto } from '../../cli/tensor-proto.ts';
import { tensorValues } from '../../protocol/tensor-values.ts';
import { EXAMPLE } from '../cli/support.ts';
import { draftPolicyFor, type Served, serve, temporaryFolder } from '../support/cli.ts';
import { ROOT, sharedFolder } from '../support/shared.ts';
import { findChromium, launch } from './chromium.ts';
import { type Answer, type Job, run } from './client-page.ts';
import { type ClientSite, serveClientSite } from './client-site.ts';

const executable = findChromium();
const models = sharedFolder('models');
const digits = sharedFolder('model-data', 'mnist');

describe.skipIf(!executable)('in Chromium, under a policy without eval', () => {
  const { folder, remove } = temporaryFolder();
  let served: Served;
  let policy: unknown;
  let site: ClientSite;
  let browser: Browser;

  beforeAll(async () => {
    const repository = path.join(folder, 'models');
    cpSync(path.join(ROOT, 'enclave/sample-models'), repository, { recursive: true });
    if (models) cpSync(path.join(models, 'mnist'), path.join(repository, 'digits'), { recursive: true });
    served = await serve(path.join(folder, 'data'), ['--models', repository, '--log-level', 'error']);
    policy = JSON.parse(readFileSync(await draftPolicyFor(served), 'utf8'));
    site = await serveClientSite(served.url);
    browser = await launch(executable ?? '');
  });
  afterAll(async () => {
    await browser?.close();
    site?.close();
    expect(await served?.stop()).toBe(0);
    remove();
  });

  async function visit(job: Job): Promise<{ answer: unknown; complaints: readonly string[]; urls: readonly string[] }> {
    site.job = job;
    const context = await browser.newContext();
    const page = await context.newPage();
    const complaints: string[] = [];
    const urls: string[] = [];
    page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
    context.on('request', (request) => urls.push(request.url()));
    const failed = new Promise<never>((_, reject) => page.once('pageerror', reject));
    const [answer] = await Promise.all([
      Promise.race([site.answer(), failed]),
      page.waitForRequest(`${site.url}/answer`, { timeout: 0 }),
      page.goto(site.url),
    ]);
    await context.close();
    return { answer, complaints, urls };
  }

  const heatStress = (): Job => {
    const [input] = JSON.parse(readFileSync(EXAMPLE, 'utf8')).inputs;
    return { policy, model: 'heat-stress', input: { ...input, data: input.data.flat() } };
  };
  const digit = (): Job => {
    const proto = path.join(digits as string, 'test_data_set_0', 'input_0.pb');
    const tensor = readTensorProto(new Uint8Array(readFileSync(proto)), 'input_0.pb');
    const data = Array.from(tensorValues(tensor) as Float32Array);
    return { policy, model: 'digits', input: { name: 'Input3', shape: tensor.shape, data } };
  };

  const JOBS: readonly (readonly [string, () => Job])[] = [
    ['the sample model', heatStress],
    ...(models && digits ? [['a real digit', digit] as const] : []),
  ];

  test.each(JOBS)(
    '%s, sealed from a page: what Node comes to, with a receipt kept in the browser',
    async (_what, jobOf) => {
      const job = jobOf();
      const before = site.sent.length;
      const { answer, complaints, urls } = await visit(job);
      expect(answer).not.toHaveProperty('failed');
      const { kept, ...said } = answer as Answer;
      const { receipt, ...inNode } = await run(job, site.url);
      expect(said).toEqual(inNode);
      expect(said).toMatchObject({
        atOnce: 'session-signed',
        committed: 'hardware-committed',
        platform: 'simulated-snp',
        described: job.model,
      });
      expect(Object.keys(kept).sort()).toEqual([
        '.veritee',
        '.veritee.private.json',
        '.veritee.request',
        '.veritee.response',
      ]);
      expect(kept['.veritee.request']).toBe(receipt.private.request.length);

      const sent = site.sent.slice(before);
      expect(sent.filter(({ path }) => path === '/ohttp').length).toBe(4); // an inference and a description, on both sides
      for (const { body } of sent) expect(body.includes(job.model) || body.includes(job.input.name)).toBe(false);
      expect(urls.every((url) => url.startsWith(`${site.url}/`))).toBe(true);
      expect(complaints).toEqual([]);
      expect(site.violations).toEqual([]);
    },
  );

  test.each<[string, (sealed: Response) => Promise<Response>, string]>([
    ['in the clear', async () => new Response('{"outputs":[]}'), 'SEALED_ANSWER_CLEAR'],
    [
      'altered',
      async (sealed) => {
        const body = new Uint8Array(await sealed.arrayBuffer());
        body[body.length - 1]! ^= 1;
        return new Response(body, { headers: { 'content-type': 'message/ohttp-res' } });
      },
      'SEALED_ANSWER_INVALID',
    ],
  ])('an answer %s is refused there too', async (_what, lie, code) => {
    site.lie = lie;
    expect((await visit(heatStress())).answer).toEqual({ failed: code });
    site.lie = null;
  });
});
