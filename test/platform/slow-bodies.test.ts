import { type AddressInfo, connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import fastify, { type FastifyInstance } from 'fastify';
import { afterEach, expect, it } from 'vitest';
import { limitRequests } from '../../src/lib/platform/http/limits.js';

let app: FastifyInstance;
/** Starts a server. The limit that a test is not about is long, because a busy machine may pause for a while. */
async function start(limits: { bodyMs?: number; pauseMs?: number }): Promise<void> {
  app = fastify();
  limitRequests(app, { bodyMs: 20_000, pauseMs: 20_000, ...limits });
  app.addContentTypeParser('application/octet-stream', (_request, body, done) => {
    let bytes = 0;
    body.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    body.on('end', () => done(null, { bytes }));
  });
  app.post('/', async ({ body }) => body);
  await app.listen({ port: 0, host: '127.0.0.1' });
}
afterEach(() => app.close());

/** Sends the pieces with a pause before each. Returns what the server sent before it ended the connection, or ''. */
async function send(type: string, pieces: readonly string[], pauseMs: number): Promise<string> {
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  // If the connection ends while a piece is in flight, it is reset, which also ends it.
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const length = pieces.join('').length;
  socket.write(
    `POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-type: ${type}\r\ncontent-length: ${length}\r\n\r\n`,
  );
  for (const piece of pieces) {
    await delay(pauseMs);
    if (socket.destroyed) break;
    socket.write(piece);
  }
  await closed;
  return answer;
}

const json = 'application/json';
const bytes = 'application/octet-stream';

it('a JSON body must arrive within its time limit, however often a piece of it arrives', async () => {
  await start({});
  expect(await send(json, ['{"a"', ':1}'], 50)).toContain('{"a":1}');
  await app.close();
  await start({ bodyMs: 400 });
  expect(await send(json, [...'{"a":12345}'], 100)).toBe('');
});

it('a streamed body may take longer, but must not stall', async () => {
  await start({ bodyMs: 400 });
  expect(await send(bytes, [...'12345678'], 100)).toContain('{"bytes":8}');
  await app.close();
  await start({ pauseMs: 400 });
  expect(await send(bytes, ['1', '2'], 700)).toBe('');
});
