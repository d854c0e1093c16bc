import { onAbort } from '../../core/index.js';
import { withKeptCredentials } from '../credentials/index.js';
import type { StreamOptions } from '../options.js';
import { parseStreamUrl, type StreamUrl } from '../url.js';
import { redisError } from './errors.js';
import { redisSettings } from './settings.js';

/** A command and its arguments, as Redis's own documentation writes them. */
export type RedisCommand = readonly (string | Buffer)[];

/** A connection that mends itself. While it is lost, commands fail at once instead of waiting. */
export interface RedisClient {
  /** Without credentials. */
  readonly endpoint: string;
  readonly connected: boolean;
  /** The values of keys; null where there is none. */
  get(keys: readonly string[]): Promise<(string | null)[]>;
  /** All of them, or none (MULTI … EXEC). @param ttlMs they vanish after so long */
  set(values: Readonly<Record<string, string>>, ttlMs?: number): Promise<void>;
  /** In one transaction. @returns replies, one a command */
  run(commands: readonly RedisCommand[]): Promise<unknown[]>;
  /** After what is under way. */
  close(): Promise<void>;
}

const longestPauseMs = 5000;
/** A line that is dead without saying so is noticed by a PING without an answer. */
const pingMs = 10_000;

/**
 * @param url `redis://[[USER]:PASSWORD@]HOST[:6379]`, or `rediss:` with TLS
 * @throws AIOT_STREAM_URL, AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED
 */
export async function openRedis(url: string, options: StreamOptions = {}): Promise<RedisClient> {
  const parts = parseStreamUrl(url);
  return connectRedis(parts, await withKeptCredentials(parts, options));
}

/** The same with credentials as given. */
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
    // The first connection is made or not; those after it are made again for as long as it takes.
    reconnectStrategy: (retries: number) => (open ? Math.min(longestPauseMs, 100 * 2 ** retries) : false),
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
  // It is told by the command that fails, and by `onState`.
  client.on('error', () => open && !client.isReady && options.onState?.('disconnected'));
  client.on('ready', () => options.onState?.('connected'));
  // A server that took the connection and says nothing would keep the process for half a minute.
  onAbort(options.signal, () => client.isOpen && client.destroy());
  try {
    await client.connect();
    // Without a password nothing has been asked yet.
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

/** Of a transaction: the reply that was an error, instead of the number of them. */
function firstOf(error: unknown): unknown {
  return error instanceof Error && 'replies' in error && Array.isArray(error.replies)
    ? (error.replies.find((reply) => reply instanceof Error) ?? error)
    : error;
}
