import { createServer, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { request } from 'undici';
import { describe, expect, it } from 'vitest';
import { httpAgent } from '../../src/lib/core/http-agent.js';

const piece = Buffer.alloc(64 * 1024, 0x61);

/** Starts a server that calls `answer` once for each connection. */
async function answering(answer: (socket: Socket) => void) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => answer(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return { url: `http://127.0.0.1:${port}/`, close: () => server.close() };
}

/** Reads a response only after it has arrived completely, and returns its bytes. */
async function readLate(answer: (socket: Socket) => void): Promise<number> {
  const server = await answering(answer);
  const agent = await httpAgent();
  try {
    const { body } = await request(server.url, { dispatcher: agent });
    await wait(100);
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      await wait(1);
    }
    return bytes;
  } finally {
    await agent.destroy();
    server.close();
  }
}

const head = (...fields: string[]) =>
  `${['HTTP/1.1 200 OK', ...fields, 'Connection: close'].join('\r\n')}\r\n\r\n`;

describe('a response read after the server closed the connection', () => {
  it.each([1, 2, 5])('is complete with %i pieces and a content length', async (pieces) => {
    const bytes = await readLate((socket) => {
      socket.write(head(`Content-Length: ${pieces * piece.length}`));
      for (let at = 0; at < pieces; at++) socket.write(piece);
      socket.end();
    });
    expect(bytes).toBe(pieces * piece.length);
  });

  it.each([1, 3])('is complete with %i pieces that end with the connection', async (pieces) => {
    const bytes = await readLate((socket) => {
      socket.write(head());
      for (let at = 0; at < pieces; at++) socket.write(piece);
      socket.end();
    });
    expect(bytes).toBe(pieces * piece.length);
  });

  it('is complete with chunked encoding', async () => {
    const bytes = await readLate((socket) => {
      socket.write(head('Transfer-Encoding: chunked'));
      for (let at = 0; at < 2; at++) socket.write(`10000\r\n${piece.toString('latin1')}\r\n`);
      socket.end('0\r\n\r\n');
    });
    expect(bytes).toBe(2 * piece.length);
  });

  it('fails if it is incomplete', async () => {
    const half = readLate((socket) => {
      socket.write(head(`Content-Length: ${2 * piece.length}`));
      socket.end(piece);
    });
    await expect(half).rejects.toThrow();
  });

  it('fails if the connection was reset', async () => {
    const reset = readLate((socket) => {
      socket.write(head(`Content-Length: ${2 * piece.length}`));
      socket.write(piece, () => setTimeout(() => socket.resetAndDestroy(), 50));
    });
    await expect(reset).rejects.toThrow();
  });

  it('does not keep the agent from closing if it is never read', async () => {
    const server = await answering((socket) => {
      socket.write(head(`Content-Length: ${piece.length}`));
      socket.end(piece);
    });
    const agent = await httpAgent();
    await request(server.url, { dispatcher: agent });
    await wait(100);
    await agent.destroy();
    server.close();
  });
});
