import { AiotError } from '../../core/errors.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import { connectRedis, type RedisCommand, type RedisSettings, redisSettings } from './client.js';

/**
 * Writes messages as the value of a key, entries of a list or a stream, or messages on a channel. The messages of one write form one
 * transaction.
 * @throws AIOT_STREAM_URL, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED; while writing also AIOT_STREAM_MESSAGE_REFUSED (WRONGTYPE)
 */
export async function openRedisSink(url: StreamUrl, options: StreamOptions): Promise<Sink> {
  const settings = redisSettings(url, options);
  if (settings.key === '') {
    throw new AiotError('AIOT_STREAM_URL', `${url.endpoint}: expected a key: ${url.endpoint}/KEY`);
  }
  const client = await connectRedis(url, options);
  let last: Promise<unknown> = Promise.resolve();
  return {
    endpoint: url.endpoint,
    write(messages) {
      const written = last.then(async () => {
        const commands = commandsFor(messages, settings);
        if (commands.length > 0) await client.run(commands);
      });
      last = written.catch(() => {});
      return written;
    },
    async close() {
      await last;
      await client.close();
    },
  };
}

function commandsFor(messages: readonly OutgoingMessage[], settings: RedisSettings): RedisCommand[] {
  const byKey = new Map<string, OutgoingMessage[]>();
  for (const message of messages) {
    const name = message.topic || settings.key;
    const others = byKey.get(name);
    if (others) others.push(message);
    else byKey.set(name, [message]);
  }
  return [...byKey].flatMap(([name, all]) => commandsOf(name, all, settings));
}

function commandsOf(
  name: string,
  messages: readonly OutgoingMessage[],
  { as, ttlMs, length }: RedisSettings,
): RedisCommand[] {
  const payloads = messages.map(({ payload }) => bytesOf(payload));
  const expiry: RedisCommand[] = ttlMs === undefined ? [] : [['PEXPIRE', name, String(ttlMs)]];
  switch (as) {
    case 'value':
      // Only the last message matters, because each message replaces the value.
      if (messages.at(-1)?.tombstone) return [['DEL', name]];
      return [['SET', name, payloads.at(-1)!, ...(ttlMs === undefined ? [] : ['PX', String(ttlMs)])]];
    case 'list': {
      const trim: RedisCommand[] = length === undefined ? [] : [['LTRIM', name, String(-length), '-1']];
      return [['RPUSH', name, ...payloads], ...trim, ...expiry];
    }
    case 'stream': {
      const limit = length === undefined ? [] : ['MAXLEN', '~', String(length)];
      return [...payloads.map((payload) => ['XADD', name, ...limit, '*', 'payload', payload]), ...expiry];
    }
    case 'channel':
      return payloads.map((payload) => ['PUBLISH', name, payload]);
  }
}

const bytesOf = (payload: Uint8Array) => Buffer.from(payload.buffer, payload.byteOffset, payload.length);
