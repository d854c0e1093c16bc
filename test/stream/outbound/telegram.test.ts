import { afterEach, describe, expect, it } from 'vitest';
import { openSink } from '../../../src/lib/stream/open.js';
import { startHttp } from './servers.js';

const token = '123456:AA-bb_cc';
const png = Buffer.from('89504e470d0a1a0a00ff', 'hex');
const ending: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

/** Implements the part of the Bot API that the sink uses. */
async function bot(...outcomes: { status: number; body: object }[]) {
  const server = await startHttp((_, response, number) => {
    const { status, body } = outcomes[number - 1] ?? { status: 200, body: { ok: true, result: {} } };
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  ending.push(server.stop);
  return server;
}
const message = (payload: Buffer | string, topic = 'plant/alert') => ({
  topic,
  payload: Buffer.from(payload),
});

describe('a Telegram bot', () => {
  it('sends text messages, truncated to 4096 characters', async () => {
    const { url, heard } = await bot();
    const sink = await openSink(`telegram://${token}@api.telegram.org/-1001?silent&format=html&base=${url}`);
    await sink.write([message('alert: hall\0'), message('x'.repeat(5000))]);
    await sink.close();
    expect(heard.map(({ method, path }) => `${method} ${path}`)).toEqual(
      Array(2).fill(`POST /bot${token}/sendMessage`),
    );
    expect(JSON.parse(heard[0]!.body.toString())).toEqual({
      chat_id: '-1001',
      text: 'alert: hall',
      parse_mode: 'HTML',
      disable_notification: 'true',
    });
    expect(JSON.parse(heard[1]!.body.toString()).text).toHaveLength(4096);
  });

  it('sends a picture as a photo with its original bytes', async () => {
    const { url, heard } = await bot();
    const sink = await openSink(`telegram:///@plant?base=${url}`, { token });
    await sink.write([message(png, 'faces')]);
    await sink.close();
    expect(heard[0]!.path).toBe(`/bot${token}/sendPhoto`);
    // The form is read with an independent parser.
    const form = await new Response(new Uint8Array(heard[0]!.body), {
      headers: { 'content-type': heard[0]!.headers['content-type']! },
    }).formData();
    expect(form.get('chat_id')).toBe('@plant');
    expect(form.get('caption')).toBe('faces');
    const photo = form.get('photo') as File;
    expect(photo.type).toBe('image/png');
    expect(Buffer.from(await photo.arrayBuffer())).toEqual(png);
  });

  it('waits as long as Telegram requests', async () => {
    const { url, heard } = await bot({ status: 429, body: { ok: false, parameters: { retry_after: 1 } } });
    const start = Date.now();
    const sink = await openSink(`telegram://${token}@/1?base=${url}`);
    await sink.write([message('x')]);
    await sink.close();
    expect(Date.now() - start).toBeGreaterThanOrEqual(1_000);
    expect(heard.length).toBe(2);
  });

  it('reports Telegram’s error without the token', async () => {
    const { url } = await bot(
      { status: 400, body: { ok: false, description: 'Bad Request: chat not found' } },
      { status: 401, body: { ok: false, description: 'Unauthorized' } },
    );
    const sink = await openSink(`telegram://${token}@/1?base=${url}`);
    for (const [code, text] of [
      ['AIOT_STREAM_REFUSED', 'chat not found'],
      ['AIOT_BROKER_REFUSED', 'Unauthorized'],
    ] as const) {
      const error = await sink.write([message('x')]).catch((reason: unknown) => reason as Error);
      expect(error).toMatchObject({ code, message: expect.stringContaining(text) });
      expect(
        `${JSON.stringify(error)} ${(error as Error).message} ${String((error as Error).cause)}`,
      ).not.toContain('AA-bb');
    }
    await sink.close();
  });

  it.each([
    ['no token', 'telegram:///1'],
    ['an invalid token', 'telegram://abc@/1'],
    ['no chat', `telegram://${token}@api.telegram.org/`],
    ['an unknown setting', `telegram://${token}@/1?loud`],
  ])('is rejected with %s', async (_, url) => {
    const error = await openSink(url).catch((reason: unknown) => reason as Error);
    expect(error).toMatchObject({ code: 'AIOT_STREAM_URL' });
    expect((error as Error).message).not.toContain('AA-bb');
  });
});
