import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { type Handler, serveWeb } from '../../cli/web-server.ts';

async function connected(
  handler: Handler,
  timeoutMs?: number,
): Promise<{ socket: Socket; answers: (count: number) => Promise<string> }> {
  const server = await serveWeb(handler, { host: '127.0.0.1', port: 0 }, timeoutMs);
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  let received = '';
  socket.setEncoding('latin1').on('data', (text: string) => {
    received += text;
  });
  onTestFinished(async () => {
    socket.destroy();
    await server.close();
  });
  const answers = async (count: number): Promise<string> => {
    while (received.split('HTTP/1.1 ').length <= count) await once(socket, 'data');
    return received;
  };
  return { socket, answers };
}

const post = (length: number): string => `POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${length}\r\n\r\n`;

test.each<[string, Handler]>([
  ['reads nothing of it', async () => new Response('no', { status: 413 })],
  [
    'has read enough of it',
    async ({ body }) => {
      const reader = body?.getReader();
      await reader?.read();
      await reader?.cancel();
      return new Response('no', { status: 413 });
    },
  ],
])(
  'who sends a long body hears the refusal of a handler that %s, and the connection goes on',
  async (_what, handler) => {
    const { socket, answers } = await connected(handler);
    const body = Buffer.alloc(8 << 20, 0x20);
    for (let i = 1; i <= 2; i++) {
      socket.write(post(body.length));
      await new Promise((sent) => socket.write(body, sent));
      const received = await answers(i);
      expect(received.match(/HTTP\/1\.1 \d+/g)).toEqual(Array.from({ length: i }, () => 'HTTP/1.1 413'));
    }
  },
);

test('who sends a body in drops is cut off', async () => {
  let failed: unknown;
  const { socket } = await connected(async (request) => {
    failed = await request.arrayBuffer().catch((error: unknown) => error);
    return new Response('');
  }, 200);
  const closed = once(socket, 'close');
  socket.write(post(100));
  const drops = setInterval(() => socket.write(' '), 20);
  await closed;
  clearInterval(drops);
  expect(failed).toBeInstanceOf(Error);
});
