import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Archive } from '../../archive/archive.ts';
import { audit } from '../../archive/audit/index.ts';
import type { RecordedAct } from '../../archive/log/acts.ts';
import { actsOfKinds } from '../../archive/log/read.ts';
import {
  entryExistedBy,
  httpAuthority,
  readAuthorities,
  renewTimestamps,
  stampedBody,
  timestampHead,
  verifyTimestamps,
  verifyToken,
} from '../../archive/timestamp/index.ts';
import { temporaryFolder } from '../support/cli.ts';
import { Filler, open } from './filled.ts';
import { foreign } from './foreign.ts';
import { LocalAuthority } from './tsa.ts';

const DAY = 86_400_000;

describe.skipIf(!foreign.openssl)('RFC 3161 timestamps, with `openssl ts` as the authority', () => {
  const { folder, remove } = temporaryFolder();
  let archive: Archive;
  let filler: Filler;
  let tsa: LocalAuthority;
  let roots: ReturnType<typeof readAuthorities>;

  beforeAll(async () => {
    archive = await open(path.join(folder, 'archive'));
    filler = await Filler.start(archive);
    await filler.add(2, { tenant: null, retentionClass: 'default' });
    tsa = new LocalAuthority(path.join(folder, 'tsa'));
    roots = readAuthorities(tsa.root());
  });
  afterAll(async () => {
    await archive?.close();
    remove();
  });

  const acts = async (): Promise<Extract<RecordedAct, { kind: 'timestamp' }>[]> => {
    const found: Extract<RecordedAct, { kind: 'timestamp' }>[] = [];
    for await (const act of actsOfKinds(archive.store, ['timestamp'])) found.push(act);
    return found;
  };
  const standing = (nowMs = Date.now()) => verifyTimestamps(archive, roots, nowMs);

  test('a head is stamped; `openssl ts -verify` agrees; what came before it existed by then', async () => {
    const before = Date.now();
    const stamped = await timestampHead(archive, tsa.ask, roots);
    expect(stamped.authority).toBe('Test TSA');
    expect(Math.abs(stamped.existedByMs - before)).toBeLessThan(120_000);
    const [act] = await acts();
    const token = (await archive.blobs.get(act!.token))!;
    const data = stampedBody(archive.id, act!.size, act!.root);
    expect(tsa.verify(token, data)).toMatchObject({ status: 0, said: expect.stringContaining('Verification: OK') });
    expect(tsa.verify(token, new Uint8Array([...data, 0])).status).not.toBe(0);

    const now = await standing();
    expect(now).toMatchObject([{ act: act!.index, problem: null, existedByMs: stamped.existedByMs }]);
    expect(await entryExistedBy(archive, { boot: filler.boot, index: 1 }, now)).toEqual(now[0]);
    const { made } = await filler.add(1, { tenant: null, retentionClass: 'default' });
    expect(await entryExistedBy(archive, { boot: filler.boot, index: made[0]!.sequence }, now)).toBe(null);
    expect((await audit(archive)).findings.filter(({ severity }) => severity !== 'info')).toEqual([]);
  });

  test('no changed byte of a token is believed', async () => {
    const [act] = await acts();
    const token = (await archive.blobs.get(act!.token))!;
    const data = stampedBody(archive.id, act!.size, act!.root);
    const good = await verifyToken(token, data, roots);
    const believed: number[] = [];
    for (let at = 0; at < token.length; at++) {
      const altered = token.slice();
      altered[at] = (altered[at] as number) ^ 1;
      const found = await verifyToken(altered, data, roots).catch((error: unknown) => {
        expect(error).toMatchObject({ name: 'CodedError' });
        return null;
      });
      if (found && JSON.stringify(found) !== JSON.stringify(good)) believed.push(at);
    }
    expect(believed).toEqual([]);
    await expect(verifyToken(token, new Uint8Array(3), roots)).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' });
  });

  test('an authority that nobody trusts, an old answer and no answer are not kept', async () => {
    const other = new LocalAuthority(path.join(folder, 'other'));
    await expect(timestampHead(archive, other.ask, roots)).rejects.toMatchObject({ code: 'CHAIN_UNTRUSTED' });
    const size = (await archive.store.actHead())?.size;
    const replayed = async () => tsa.ask(new Uint8Array(await lastRequest));
    const lastRequest = (async () => {
      let seen = new Uint8Array(0);
      await timestampHead(
        archive,
        async (request) => {
          seen = request;
          return tsa.ask(request);
        },
        roots,
      );
      return seen;
    })();
    await lastRequest;
    await expect(timestampHead(archive, replayed, roots)).rejects.toMatchObject({ code: 'EVIDENCE_MALFORMED' });
    await expect(timestampHead(archive, async () => new Uint8Array(9), roots)).rejects.toMatchObject({
      code: 'EVIDENCE_MALFORMED',
    });
    expect((await archive.store.actHead())?.size).toBe((size ?? 0) + 1);
  });

  test('a token ends with its certificate, unless it was renewed in time; a chain of renewals stands', async () => {
    expect((await standing(Date.now() + 31 * DAY)).every(({ problem }) => problem !== null)).toBe(true);
    tsa.certify(400);
    const renewed = await renewTimestamps(archive, tsa.ask, roots, Date.now() + 60 * DAY);
    expect(renewed.length).toBe((await standing()).length);
    expect((await standing(Date.now() + 31 * DAY)).map(({ problem }) => problem)).toEqual([null, null]);
    expect(await renewTimestamps(archive, tsa.ask, roots, Date.now() + 60 * DAY)).toEqual([]);
    tsa.certify(4000);
    await renewTimestamps(archive, tsa.ask, roots, Date.now() + 500 * DAY);
    expect((await standing(Date.now() + 3650 * DAY)).map(({ problem }) => problem)).toEqual([null, null]);
    expect((await standing(Date.now() + 4100 * DAY)).every(({ problem }) => problem !== null)).toBe(true);
    const renewal = (await acts()).find(({ renews }) => renews !== null);
    const [token, old] = [await archive.blobs.get(renewal!.token), await archive.blobs.get(renewal!.renews!)];
    expect(tsa.verify(token!, old!)).toMatchObject({ status: 0 });
  });

  test('without the authority’s root, and with a token gone, nothing stands', async () => {
    expect((await verifyTimestamps(archive, [], Date.now())).every(({ problem }) => problem !== null)).toBe(true);
    const [first] = await acts();
    await archive.blobs.delete(first!.token);
    expect((await standing()).find(({ act }) => act === first!.index)?.problem).toMatch(/gone/);
  });

  test('over HTTP', async () => {
    const server = createServer(async (request, response) => {
      const answer = request.url === '/tsa' ? await tsa.ask(await buffer(request)) : null;
      response.writeHead(answer ? 200 : 500, { 'content-type': 'application/timestamp-reply' }).end(answer);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      expect(await timestampHead(archive, httpAuthority(`${url}/tsa`), roots)).toMatchObject({ authority: 'Test TSA' });
      await expect(timestampHead(archive, httpAuthority(url), roots)).rejects.toMatchObject({
        code: 'SERVICE_REFUSED',
      });
    } finally {
      server.close();
      server.closeAllConnections();
    }
    await expect(timestampHead(archive, httpAuthority(url), roots)).rejects.toMatchObject({
      code: 'SERVICE_UNREACHABLE',
    });
  });
});
