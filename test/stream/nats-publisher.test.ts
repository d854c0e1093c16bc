import type { Msg } from 'nats';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { NatsClient } from '../../src/lib/stream/nats/connect.js';
import { createPublisher } from '../../src/lib/stream/nats/sink.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A connection that collects published messages, and sends a stream's responses when a test requests them. */
function fakeNats() {
  const sent: { text: string; reply: string }[] = [];
  let hear: (error: Error | null, msg: Msg) => void = () => {};
  let state: (state: string) => void = () => {};
  const nc = {
    subscribe: (_: string, { callback }: { callback: typeof hear }) => {
      hear = callback;
    },
    publish: (_: string, payload: Uint8Array, { reply }: { reply: string }) =>
      sent.push({ text: Buffer.from(payload).toString(), reply }),
    isClosed: () => false,
  };
  const client = {
    nc,
    nats: { createInbox: () => '_INBOX.x' },
    onState: (listener: typeof state) => {
      state = listener;
    },
    onError: () => {},
    onEnd: () => {},
  } as unknown as NatsClient;
  const answer = (reply: string, body: string, code?: number) =>
    hear(null, {
      subject: reply,
      data: Buffer.from(body),
      headers: code === undefined ? undefined : { code },
    } as unknown as Msg);
  return {
    client,
    take: () => sent.splice(0),
    accept: (reply: string) => answer(reply, '{"stream":"s","seq":1}'),
    unavailable: (reply: string) =>
      answer(reply, '{"error":{"code":503,"err_code":10008,"description":"temporarily unavailable"}}'),
    nobody: (reply: string) => answer(reply, '', 503),
    reconnect: () => state('connected'),
  };
}

const messages = (...texts: string[]) =>
  texts.map((text) => ({ subject: 's.a', payload: Buffer.from(text), headers: undefined, kept: true }));
const texts = (list: { text: string }[]) => list.map(({ text }) => text);

describe('the publisher of a NATS sink', () => {
  it.each(['unavailable', 'nobody'] as const)('resends only messages that got a 503 (%s)', async (said) => {
    const server = fakeNats();
    const publishing = createPublisher(server.client, 'nats://h').publish(messages('a', 'b', 'c', 'd'));
    const [a, b, c, d] = server.take();
    server[said](c!.reply);
    server[said](a!.reply);
    vi.advanceTimersByTime(240);
    expect(server.take()).toEqual([]);
    vi.advanceTimersByTime(20);
    expect(texts(server.take())).toEqual(['a', 'c']);
    // Only once: messages in flight are not resent every 250 ms.
    vi.advanceTimersByTime(2000);
    expect(server.take()).toEqual([]);
    for (const { reply } of [a!, b!, c!, d!]) server.accept(reply);
    await publishing;
  });

  it('resends all unacknowledged messages once after a reconnect', async () => {
    const server = fakeNats();
    const publishing = createPublisher(server.client, 'nats://h').publish(messages('a', 'b', 'c'));
    const [a, b, c] = server.take();
    server.accept(b!.reply);
    server.unavailable(c!.reply);
    server.reconnect();
    expect(texts(server.take())).toEqual(['a', 'c']);
    vi.advanceTimersByTime(1000);
    expect(server.take()).toEqual([]);
    for (const { reply } of [a!, c!]) server.accept(reply);
    await publishing;
  });

  it('does not resend messages of a failed write', async () => {
    const server = fakeNats();
    const publisher = createPublisher(server.client, 'nats://h');
    const publishing = publisher.publish(messages('a', 'b'));
    const failed = expect(publishing).rejects.toMatchObject({ code: 'AIOT_BROKER_UNREACHABLE' });
    const [a] = server.take();
    vi.advanceTimersByTime(29_900);
    server.unavailable(a!.reply);
    vi.advanceTimersByTime(1000);
    await failed;
    expect(server.take()).toEqual([]);
  });

  it('closes within two seconds while a server is unavailable, and leaves no timer behind', async () => {
    const server = fakeNats();
    const publisher = createPublisher(server.client, 'nats://h');
    const failed = expect(publisher.publish(messages('a'))).rejects.toMatchObject({
      code: 'AIOT_BROKER_UNREACHABLE',
    });
    const closing = publisher.close();
    await vi.advanceTimersByTimeAsync(2000);
    await closing;
    await failed;
    expect(vi.getTimerCount()).toBe(0);
  });
});
