import * as z from 'zod';
import { AiotError, isUntrusted, systemCode } from '../../core/errors.js';
import { onAbort } from '../../core/tasks.js';
import { backOffMs } from '../../core/time.js';
import { withKeptCredentials } from '../credentials.js';
import { queryDuration } from '../file/settings.js';
import type { StreamOptions } from '../message.js';
import { parseStreamUrl, queryCount, readQuery, type StreamUrl } from '../url.js';

/** A command and its arguments, in the notation of the Redis documentation. */
export type RedisCommand = readonly (string | Buffer)[];

/** A connection that is restored automatically. While it is lost, commands fail immediately instead of waiting. */
export interface RedisClient {
  /** Address of the server, without credentials. */
  readonly endpoint: string;
  readonly connected: boolean;
  /** The keys' values; null for missing keys. */
  get(keys: readonly string[]): Promise<(string | null)[]>;
  /** Sets all values in one transaction (MULTI … EXEC). @param ttlMs time after which the keys expire */
  set(values: Readonly<Record<string, string>>, ttlMs?: number): Promise<void>;
  /** Runs the commands in one transaction. @returns one reply for each command */
  run(commands: readonly RedisCommand[]): Promise<unknown[]>;
  /** Closes the connection. Resolves once pending commands are done. */
  close(): Promise<void>;
}

const longestPauseMs = 5000;

/** Interval between PINGs, which detect a connection that died silently; ms. */
const pingMs = 10_000;

/**
 * @param url `redis://[[USER]:PASSWORD@]HOST[:6379]`, or `rediss:` with TLS
 * @throws AIOT_STREAM_URL, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED
 */
export async function openRedis(url: string, options: StreamOptions = {}): Promise<RedisClient> {
  const parts = parseStreamUrl(url);
  return connectRedis(parts, await withKeptCredentials(parts, options));
}

/** Like `openRedis`, but with the given credentials instead of stored ones. */
export async function connectRedis(url: StreamUrl, options: StreamOptions): Promise<RedisClient> {
  const settings = redisSettings(url, options);
  const { endpoint } = url;
  const { host, port, username, password } = settings;
  const { createClient, ErrorReply } = await import('@redis/client');
  const failure = (error: unknown) => redisError(error, endpoint, error instanceof ErrorReply);
  let open = false;
  const common = {
    host,
    port,
    connectTimeout: options.connectTimeoutMs ?? 10_000,
    socketTimeout: 3 * pingMs,
    // The first connection may fail; later ones are retried indefinitely.
    reconnectStrategy: (retries: number) => (open ? backOffMs(retries + 1, 100, longestPauseMs) : false),
  } as const;
  const { ca, cert, key } = options;
  const secure = {
    tls: true,
    servername: /^[\d.]+$|:/.test(host) ? '' : host,
    ...(ca ? { ca } : {}),
    ...(cert && key ? { cert, key } : {}),
  } as const;
  const client = createClient({
    socket: settings.tls ? { ...common, ...secure } : common,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    database: settings.database,
    RESP: 2,
    maintNotifications: 'disabled',
    disableClientInfo: true,
    disableOfflineQueue: true,
    pingInterval: pingMs,
  });
  // The error itself is not needed, because the failing command reports it, and `onState` reports the lost connection.
  client.on('error', () => open && !client.isReady && options.onState?.('disconnected'));
  client.on('ready', () => options.onState?.('connected'));
  // Otherwise, a server that accepts the connection but sends nothing would keep the process alive for half a
  // minute.
  onAbort(options.signal, () => client.isOpen && client.destroy());
  try {
    await client.connect();
    // Without a password, connecting sends no request. The PING shows whether the server accepts us.
    await client.ping();
    open = true;
  } catch (error) {
    if (client.isOpen) client.destroy();
    throw failure(error);
  }

  const run = async (commands: readonly RedisCommand[]): Promise<unknown[]> => {
    try {
      const [only] = commands;
      if (only && commands.length === 1) return [await client.sendCommand([...only])];
      const multi = client.multi();
      for (const command of commands) multi.sendCommand([...command]);
      return await multi.exec();
    } catch (error) {
      throw failure(firstOf(error));
    }
  };
  return {
    endpoint,
    get connected() {
      return client.isReady;
    },
    async get(keys) {
      const [values] = keys.length === 0 ? [[]] : await run([['MGET', ...keys]]);
      return values as (string | null)[];
    },
    async set(values, ttlMs) {
      const last = ttlMs === undefined ? [] : ['PX', String(ttlMs)];
      await run(Object.entries(values).map(([name, value]) => ['SET', name, value, ...last]));
    },
    run,
    async close() {
      if (client.isReady) await client.close().catch(() => {});
      else if (client.isOpen) client.destroy();
    },
  };
}

/** The first error reply of a transaction, because the library's own error contains only the number of errors. */
function firstOf(error: unknown): unknown {
  return error instanceof Error && 'replies' in error && Array.isArray(error.replies)
    ? (error.replies.find((reply) => reply instanceof Error) ?? error)
    : error;
}

const shape = {
  /** How a message is stored: as the key's value, the last item of a list, an entry of a stream, or a message on a channel. */
  as: z.enum(['value', 'list', 'stream', 'channel']).optional(),
  /** Time from the last message until the key expires. */
  ttl: queryDuration.optional(),
  /** Maximum number of entries of a list or a stream; the oldest entries are removed. */
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

/** Parses `redis://[[USER]:PASSWORD@]HOST[:6379]/KEY`, or `rediss:` for TLS. @throws AIOT_STREAM_URL */
export function redisSettings(url: StreamUrl, options: StreamOptions): RedisSettings {
  const { as = 'value', ttl, length, db = 0 } = readQuery(url, shape);
  const [, bracketed, plain, port = String(defaultPort)] =
    /^(?:\[(.+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(url.host) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) {
    throw new AiotError('AIOT_STREAM_URL', `${url.endpoint}: expected ${url.scheme}://HOST[:PORT]/KEY`);
  }
  if (length !== undefined && as !== 'list' && as !== 'stream') {
    throw new AiotError('AIOT_STREAM_URL', `${url.endpoint}: length only applies to as=list and as=stream`);
  }
  if (ttl !== undefined && as === 'channel') {
    throw new AiotError('AIOT_STREAM_URL', `${url.endpoint}: a channel stores nothing, so it has no ttl`);
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

/**
 * First words of error replies that concern permissions (RESP, "Simple errors": the first word is the kind of error).
 */
const refused = new Set(['NOAUTH', 'NOPERM', 'WRONGPASS']);

/** First words of temporary errors; no message causes them. */
const passing = new Set([
  'BUSY',
  'CLUSTERDOWN',
  'LOADING',
  'MASTERDOWN',
  'MISCONF',
  'NOREPLICAS',
  'OOM',
  'READONLY',
  'TRYAGAIN',
]);

/**
 * Converts an error of @redis/client to a coded one.
 * @param reply whether the error is the server's own reply
 * @param endpoint the server's address without credentials
 */
function redisError(error: unknown, endpoint: string, reply: boolean): AiotError {
  if (error instanceof AiotError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (reply) return replyError(message, error, endpoint);
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = systemCode(inner) ?? '';
  const untrusted = isUntrusted(code);
  if (code.startsWith('ERR_SSL_') && code.includes('ALERT')) {
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} rejected the connection: ${code}`, {
      cause: error,
      endpoint,
      next: 'The server may require a client certificate: --cert and --key.',
    });
  }
  return new AiotError('AIOT_BROKER_UNREACHABLE', `${endpoint}: ${code || message || 'no response'}`, {
    cause: error,
    endpoint,
    retryable: !untrusted,
    ...(untrusted
      ? { next: 'Specify the CA that signed its certificate: --ca FILE' }
      : { next: 'Check the address and that the server is running: redis-cli -h HOST ping' }),
  });
}

function replyError(message: string, cause: unknown, endpoint: string): AiotError {
  const [kind = ''] = message.split(' ', 1);
  if (refused.has(kind)) {
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint}: ${message}`, {
      cause,
      endpoint,
      next: 'Use redis://:PASSWORD@HOST or redis://USER:PASSWORD@HOST, or store the password with `aiot stream login redis://HOST`.',
    });
  }
  const retryable = passing.has(kind);
  const code = retryable ? 'AIOT_BROKER_UNREACHABLE' : 'AIOT_STREAM_MESSAGE_REFUSED';
  const next = retryable
    ? 'The server accepts no writes now. Its message gives the reason.'
    : 'WRONGTYPE: the key holds another type of value. Choose another key, or DEL it.';
  return new AiotError(code, `${endpoint}: ${message}`, { cause, endpoint, retryable, next });
}
