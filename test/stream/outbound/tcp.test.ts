import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { openSink } from '../../../src/lib/stream/open.js';
import { freePort } from '../../support/free-port.js';
import { startTcp } from './servers.js';

const ending: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});
const message = (payload: string) => ({ topic: 't', payload: Buffer.from(payload) });

/**
 * Acts like the guide's inference box, which responds to one JSON message per connection but does not close the
 * connection.
 */
async function box(
  answer: (text: string) => string | undefined = () => 'inference value from the edge tpu = 0.9',
) {
  const heard: string[] = [];
  const server = await startTcp((socket) => {
    socket.once('data', (data) => {
      heard.push(data.toString());
      const reply = answer(data.toString());
      if (reply === undefined) socket.destroy();
      else socket.write(reply);
    });
  });
  ending.push(server.stop);
  return { ...server, heard, url: `tcp://127.0.0.1:${server.port}` };
}

describe('a TCP destination', () => {
  it('gets one message per connection, in order, and its replies are read', async () => {
    const { url, heard } = await box();
    const replies: string[] = [];
    const sink = await openSink(url, {
      onReply: (reply, { payload }) => replies.push(`${Buffer.from(payload)} → ${Buffer.from(reply)}`),
    });
    await sink.write([message('{"a":1}'), message('{"a":2}')]);
    await sink.close();
    expect(heard).toEqual(['{"a":1}', '{"a":2}']);
    expect(replies).toEqual([
      '{"a":1} → inference value from the edge tpu = 0.9',
      '{"a":2} → inference value from the edge tpu = 0.9',
    ]);
  });

  it('gets a message again only if it did not reply', async () => {
    let times = 0;
    const { url, heard } = await box((text) => (text === 'b' && ++times < 3 ? undefined : 'ok'));
    const sink = await openSink(url);
    await sink.write(['a', 'b', 'c'].map(message));
    await sink.close();
    expect(heard).toEqual(['a', 'b', 'b', 'b', 'c']);
  });

  it('may become reachable after its messages are written', async () => {
    const port = await freePort();
    const sink = await openSink(`tcp://127.0.0.1:${port}`);
    const written = sink.write([message('x')]);
    await delay(500);
    const late = await startTcp((socket) => socket.on('data', () => socket.write('ok')), port);
    ending.push(late.stop);
    await written;
    await sink.close();
  });

  it('is reported as a retryable error if it is unreachable', async () => {
    const gone = await startTcp(() => {});
    await gone.stop();
    const sink = await openSink(`tcp://127.0.0.1:${gone.port}`);
    await expect(sink.write([message('x')])).rejects.toMatchObject({
      code: 'AIOT_STREAM_UNREACHABLE',
      retryable: true,
      message: `tcp://127.0.0.1:${gone.port}: ECONNREFUSED`,
    });
    await sink.close();
  });

  it('times out after the requested wait if it never replies', async () => {
    const server = await startTcp(() => {});
    ending.push(server.stop);
    const sink = await openSink(`tcp://127.0.0.1:${server.port}?wait=30ms`);
    await expect(sink.write([message('x')])).rejects.toMatchObject({
      message: expect.stringContaining('no response within 30 ms'),
    });
    await sink.close();
  });

  it('may reply in lines, at the end, or not at all', async () => {
    const server = await startTcp((socket) => {
      let text = '';
      socket.on('data', (data) => {
        text += data;
        if (text.endsWith('\n')) socket.write('first half, ');
        if (text.endsWith('\n')) setTimeout(() => socket.end('second\n'), 30);
      });
    });
    ending.push(server.stop);
    const answers: string[] = [];
    for (const reply of ['line', 'close', 'none']) {
      const sink = await openSink(`tcp://127.0.0.1:${server.port}?reply=${reply}&end=%0A`, {
        onReply: (bytes) => answers.push(Buffer.from(bytes).toString()),
      });
      await sink.write([message('x')]);
      await sink.close();
    }
    expect(answers).toEqual(['first half, second\n', 'first half, second\n', '']);
  });

  it('has its replies stored elsewhere before a message counts as delivered', async () => {
    const { url } = await box((text) => `got ${text}`);
    const file = join(tmpdir(), `aiot-replies-${process.pid}.log`);
    ending.push(() => rm(file, { force: true }));
    const sink = await openSink(`${url}?replyTo=file:${file}%3Fformat=lines`);
    await sink.write([message('1'), message('2')]);
    expect(await readFile(file, 'utf8')).toBe('got 1\ngot 2\n');
    await sink.close();
  });

  it.each([
    'tcp://127.0.0.1',
    'tcp://127.0.0.1:1/path',
    'tcp://127.0.0.1:70000',
    'tcp://127.0.0.1:1?reply=maybe',
  ])('is rejected: %s', async (url) => {
    await expect(openSink(url)).rejects.toMatchObject({ code: 'AIOT_STREAM_URL' });
  });
});
