import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { FakeService, INPUT } from './fake-service.ts';

test('calls one after the other share connections, refused ones included', async () => {
  const service = await FakeService.start();
  let connections = 0;
  const server = createServer({ keepAliveTimeout: 60_000 }, async (req, res) => {
    const { method = 'GET', url, headers } = req;
    const body = await buffer(req);
    const init = { method, headers: headers as Record<string, string>, ...(method === 'POST' ? { body } : {}) };
    const answer = await service.fetch(`http://service${url}`, init);
    res.writeHead(answer.status, Object.fromEntries(answer.headers)).end(Buffer.from(await answer.arrayBuffer()));
  });
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = await service.client({ url, fetch: (input, init) => fetch(input, init) });
  for (let i = 0; i < 4; i++) await client.infer('sample', [INPUT], { waitFor: 'hardware' });
  await client.infer('nosuch', [INPUT]).catch(() => undefined);
  await service.rotate();
  await client.infer('sample', [INPUT]);
  expect(service.asked.length).toBeGreaterThan(10);
  // The pool may open a second before it sees that the first is free again.
  expect(connections).toBeLessThanOrEqual(2);
  server.close();
  server.closeAllConnections();
});
