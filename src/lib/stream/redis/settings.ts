import { z } from 'zod';
import { AiotError } from '../../core/index.js';
import { queryDuration } from '../file/settings.js';
import type { StreamOptions } from '../options.js';
import { queryCount, readQuery } from '../query.js';
import type { StreamUrl } from '../url.js';

const shape = {
  /** What a message becomes: the key's value, the last of a list, an entry of a stream, or a word on a channel. */
  as: z.enum(['value', 'list', 'stream', 'channel']).optional(),
  /** How long the key stays after the last message. */
  ttl: queryDuration.optional(),
  /** Most entries of a list or a stream: the oldest go. */
  length: queryCount.optional(),
  /** Number of the database; default 0. */
  db: queryCount.optional(),
};

export interface RedisSettings {
  host: string;
  port: number;
  tls: boolean;
  username: string | undefined;
  password: string | undefined;
  database: number;
  key: string;
  as: 'value' | 'list' | 'stream' | 'channel';
  ttlMs: number | undefined;
  length: number | undefined;
}

const defaultPort = 6379;

/** `redis://[[USER]:PASSWORD@]HOST[:6379]/KEY`, `rediss:` with TLS. @throws AIOT_STREAM_URL */
export function redisSettings(url: StreamUrl, options: StreamOptions): RedisSettings {
  const { as = 'value', ttl, length, db = 0 } = readQuery(url, shape);
  const [, bracketed, plain, port = String(defaultPort)] =
    /^(?:\[(.+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(url.host) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) {
    throw new AiotError('AIOT_STREAM_URL', `${url.endpoint}: expected ${url.scheme}://HOST[:PORT]/KEY`);
  }
  if (length !== undefined && as !== 'list' && as !== 'stream') {
    throw new AiotError('AIOT_STREAM_URL', `${url.endpoint}: length is of as=list and as=stream alone`);
  }
  if (ttl !== undefined && as === 'channel') {
    throw new AiotError('AIOT_STREAM_URL', `${url.endpoint}: a channel keeps nothing: no ttl`);
  }
  return {
    host,
    port: Number(port),
    tls: url.scheme === 'rediss',
    username: url.username ?? options.username,
    password: url.password ?? options.password,
    database: db,
    key: url.path,
    as,
    ttlMs: ttl,
    length,
  };
}
