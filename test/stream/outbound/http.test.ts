import { createHmac } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { deliveriesOf, type Source, type StreamOptions } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { startHttp } from './servers.js';

const ending: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

async function serving(...args: Parameters<typeof startHttp>) {
  const server = await startHttp(...args);
  ending.push(server.stop);
  return server;
}
const message = (payload: string | Buffer, topic = 'motors/1') => ({
  topic,
  payload: Buffer.from(payload),
  time: 1_000,
});

describe('an HTTP sink', () => {
  it('POSTs each message on its own, with headers, topic, time and key', async () => {
    const server = await serving((_, response) => response.writeHead(204).end());
    const sink = await openSink(`${server.url}/in?x=1`);
    await sink.write([
      {
        ...message('{"a":1}'),
        key: Buffer.from('k ü'),
        headers: [
          ['Unit', 'C'],
          ['content-length', '999'],
        ],
      },
      message('plain'),
    ]);
    await sink.close();
    expect(server.heard.map(({ method, path, body }) => `${method} ${path} ${body}`)).toEqual([
      'POST /in?x=1 {"a":1}',
      'POST /in?x=1 plain',
    ]);
    expect(server.heard[0]!.headers).toMatchObject({
      'content-type': 'application/json',
      'content-length': '7',
      'aiot-topic': 'motors/1',
      'aiot-time': '1970-01-01T00:00:01.000Z',
      'aiot-key': 'k%20%C3%BC',
      unit: 'C',
    });
    expect(server.heard[1]!.headers['content-type']).toBe('text/plain; charset=utf-8');
  });

  it('retries with the same ID once the Retry-After time has passed, and keeps the order', async () => {
    const server = await serving((_, response, number) => {
      if (number === 1) response.writeHead(503).end();
      else if (number === 2) response.writeHead(429, { 'retry-after': '1' }).end();
      else if (number === 3) response.destroy();
      else response.writeHead(200).end();
    });
    const start = Date.now();
    const sink = await openSink(server.url);
    await sink.write([message('a'), message('b')]);
    await sink.close();
    expect(Date.now() - start).toBeGreaterThan(1_000);
    expect(server.heard.map(({ body }) => body.toString())).toEqual(['a', 'a', 'a', 'a', 'b']);
    const ids = new Set(server.heard.slice(0, 4).map(({ headers }) => headers['webhook-id']));
    expect(ids.size).toBe(1);
    expect(ids).not.toContain(server.heard[4]!.headers['webhook-id']);
  });

  it.each([
    [400, 'AIOT_STREAM_REFUSED', false],
    [404, 'AIOT_STREAM_REFUSED', false],
    [301, 'AIOT_STREAM_REFUSED', false],
    [403, 'AIOT_BROKER_REFUSED', false],
  ])('rejects the message immediately on status %i', async (status, code, retryable) => {
    const server = await serving((_, response) => response.writeHead(status).end('why\nnot\u0007'));
    const sink = await openSink(server.url);
    await expect(sink.write([message('x')])).rejects.toMatchObject({
      code,
      retryable,
      message: `http://127.0.0.1:${server.port} responded with ${status}: why not`,
    });
    expect(server.heard.length).toBe(1);
    await sink.close();
  });

  it('does not resend messages that arrived before a rejected one', async () => {
    let refuse = true;
    const server = await serving(({ body }, response) =>
      response.writeHead(refuse && body.toString() === 'b' ? 400 : 200).end(),
    );
    const sink = await openSink(server.url);
    const batch = [message('a'), message('b'), message('c')];
    await expect(sink.write(batch)).rejects.toMatchObject({ code: 'AIOT_STREAM_REFUSED' });
    refuse = false;
    await sink.write(batch);
    await sink.write(batch.slice(0, 1));
    await sink.close();
    expect(server.heard.map(({ body }) => body.toString())).toEqual(['a', 'b', 'b', 'c', 'a']);
  });

  it('reports an unreachable server as retryable', async () => {
    const server = await startHttp(() => {});
    await server.stop();
    const sink = await openSink(server.url);
    await expect(sink.write([message('x')])).rejects.toMatchObject({
      code: 'AIOT_STREAM_UNREACHABLE',
      retryable: true,
      message: expect.stringContaining('ECONNREFUSED'),
    });
    await sink.close();
  });

  it('keeps the order of each topic with several requests in flight', async () => {
    // The first message of each topic is answered once both have arrived.
    const held: (() => void)[] = [];
    const server = await serving(({ body }, response) => {
      const answer = () => response.writeHead(200).end();
      if (!body.toString().endsWith('0')) setTimeout(answer, 5);
      else if (held.push(answer) === 2) for (const each of held) setTimeout(each, 60);
    });
    const sink = await openSink(`${server.url}#parallel=4`);
    await sink.write(['a0', 'b0', 'a1', 'b1', 'a2'].map((text) => message(text, text[0])));
    await sink.close();
    const order = server.heard.map(({ body }) => body.toString());
    expect(order.filter((text) => text[0] === 'a')).toEqual(['a0', 'a1', 'a2']);
    expect(order.slice(0, 2).sort()).toEqual(['a0', 'b0']);
  });

  it.each<[string, StreamOptions, RegExp]>([
    ['http://u:p%40@HOST/', {}, /^Basic dTpwQA==$/],
    ['http://HOST/', { username: 'u', password: 'p@' }, /^Basic dTpwQA==$/],
    ['http://HOST/', { token: 't0' }, /^Bearer t0$/],
  ])('authenticates for %s, and hides the secret in errors', async (url, options, shown) => {
    const server = await serving((_, response) => response.writeHead(401).end());
    const sink = await openSink(url.replace('HOST', `127.0.0.1:${server.port}`), options);
    const failed = await sink.write([message('x')]).catch((error: unknown) => error);
    await sink.close();
    expect(server.heard[0]!.headers.authorization).toMatch(shown);
    expect(JSON.stringify(failed)).not.toMatch(/p@|p%40|t0|dTpwQA/);
  });

  it.each(['#colour=red', '#parallel=0', '#method=GET'])('rejects the setting %s', async (settings) => {
    await expect(openSink(`http://127.0.0.1:1/${settings}`)).rejects.toMatchObject({
      code: 'AIOT_STREAM_URL',
    });
  });
});

describe('a webhook server', () => {
  async function opened(url: string, options: StreamOptions = {}): Promise<Source & { url: string }> {
    const source = await openSource(url, options);
    ending.push(() => source.close());
    return Object.assign(source, { url: source.endpoint });
  }
  const post = (url: string, body: string, headers: Record<string, string> = {}, method = 'POST') =>
    fetch(url, { method, body, headers });

  it('responds only after the message is acknowledged', async () => {
    const source = await opened('http://127.0.0.1:0/example');
    const answer = post(`${source.url}/example`, '{"x":1}', {
      'content-type': 'application/json',
      'x-unit': 'C',
    });
    const [delivery] = (await first(source)) ?? [];
    const early = await Promise.race([answer.then(() => 'answered'), wait(100)]);
    expect(early).toBe('waiting');
    expect(delivery!.message).toMatchObject({ topic: 'example', payload: Buffer.from('{"x":1}') });
    expect(delivery!.message.headers).toEqual([
      ['content-type', 'application/json'],
      ['x-unit', 'C'],
    ]);
    delivery!.ack();
    expect((await answer).status).toBe(200);
  });

  it('asks for a retry if a message is nacked or the server closes', async () => {
    const source = await opened('http://127.0.0.1:0/');
    const answer = post(`${source.url}/a/b`, 'x');
    const batches = source[Symbol.asyncIterator]();
    const { value } = await batches.next();
    expect(value[0].message.topic).toBe('a/b');
    value[0].nack();
    expect((await answer).status).toBe(503);
    expect((await answer).headers.get('retry-after')).toBe('1');
    const waiting = post(`${source.url}/a/b`, 'y');
    await batches.next();
    await source.close();
    expect((await waiting).status).toBe(503);
  });

  it.each<[string, string, Record<string, string>, string, number]>([
    ['another path', '/other', {}, 'POST', 404],
    ['a path below', '/example/x', {}, 'POST', 404],
    ['another method', '/example', {}, 'DELETE', 405],
    ['a body that is too long', '/example', {}, 'POST', 413],
  ])('rejects %s', async (what, path, headers, method, status) => {
    const source = await opened('http://127.0.0.1:0/example#limit=10B');
    const body = what.includes('long') ? 'x'.repeat(11) : 'x';
    const answer = await post(source.url + path, body, headers, method);
    expect(answer.status).toBe(status);
  });

  it('rejects a missing or wrong token, and accepts the right one', async () => {
    const source = await opened('http://127.0.0.1:0/', { token: 'abc' });
    expect((await post(source.url, 'x')).status).toBe(401);
    expect((await post(source.url, 'x', { authorization: 'Bearer abd' })).status).toBe(401);
    const answer = post(source.url, 'x', { authorization: 'Bearer abc' });
    for (const delivery of (await first(source)) ?? []) delivery.ack();
    expect((await answer).status).toBe(200);
  });

  it('rejects a missing or wrong signature, and accepts GitHub’s signature', async () => {
    const source = await opened('http://127.0.0.1:0/', { secret: 's3cret' });
    expect((await post(source.url, 'x')).status).toBe(401);
    const sign = (body: string) => `sha256=${createHmac('sha256', 's3cret').update(body).digest('hex')}`;
    expect((await post(source.url, 'x', { 'x-hub-signature-256': sign('y') })).status).toBe(401);
    const answer = post(source.url, 'x', { 'x-hub-signature-256': sign('x') });
    for (const delivery of (await first(source)) ?? []) delivery.ack();
    expect((await answer).status).toBe(200);
  });

  it('receives a message unchanged from an aiot HTTP sink', async () => {
    const source = await opened('http://127.0.0.1:0/', { secret: 'whsec_c2VjcmV0' });
    const sink = await openSink(source.url, { secret: 'whsec_c2VjcmV0' });
    const bytes = Buffer.from([0, 255, 10, 13]);
    const written = sink.write([
      { topic: 'a/ü b', payload: bytes, key: Buffer.from('k/1'), headers: [['unit', 'C']] },
    ]);
    const [delivery] = (await first(source)) ?? [];
    expect(delivery!.message).toMatchObject({ topic: 'a/ü b', payload: bytes, key: Buffer.from('k/1') });
    expect(delivery!.message.headers).toContainEqual(['unit', 'C']);
    delivery!.ack();
    await written;
    await sink.close();
  });

  it('reports a port in use, and an address where it cannot listen', async () => {
    const source = await opened('http://127.0.0.1:0/');
    await expect(openSource(source.url)).rejects.toMatchObject({ code: 'AIOT_PORT_IN_USE' });
    await expect(openSource('http://127.0.0.1:99999/')).rejects.toMatchObject({ code: 'AIOT_STREAM_URL' });
    await expect(openSource('https://127.0.0.1:0/')).rejects.toMatchObject({ code: 'AIOT_STREAM_URL' });
  });

  it('rejects messages beyond its queue limit', async () => {
    const source = await opened('http://127.0.0.1:0/', { queue: 1 });
    const one = post(source.url, '1');
    await wait(100);
    expect((await post(source.url, '2')).status).toBe(503);
    for await (const { ack } of deliveriesOf(source)) {
      ack();
      break;
    }
    expect((await one).status).toBe(200);
  });
});

async function first(source: Source) {
  return (await source[Symbol.asyncIterator]().next()).value as Awaited<ReturnType<typeof nextOf>>;
}
async function nextOf(source: Source) {
  for await (const batch of source) return batch;
  return undefined;
}
function wait(ms: number): Promise<string> {
  return new Promise((resolve) => setTimeout(() => resolve('waiting'), ms));
}
