import { expect, test, vi } from 'vitest';
import { deliveriesOf } from '../../../src/lib/stream/message.js';
import { openSource } from '../../../src/lib/stream/open.js';

vi.mock(import('../../../src/lib/stream/http/headers.js'), async (original) => {
  const real = await original();
  return {
    ...real,
    incomingHeaders: (request) => {
      if (request.headers['x-odd']) throw new TypeError('nobody thought of that');
      return real.incomingHeaders(request);
    },
  };
});

test('a webhook server responds with 500 to a request it cannot process, and accepts the next', async () => {
  const source = await openSource('http://127.0.0.1:0/in');
  const taken = (async () => {
    for await (const { message, ack } of deliveriesOf(source)) {
      ack();
      return Buffer.from(message.payload).toString();
    }
    return undefined;
  })();
  const post = (body: string, headers: Record<string, string> = {}) =>
    fetch(`${source.endpoint}/in`, { method: 'POST', body, headers });
  expect((await post('odd', { 'x-odd': '1' })).status).toBe(500);
  expect((await post('plain')).status).toBe(200);
  expect(await taken).toBe('plain');
  await source.close();
});
