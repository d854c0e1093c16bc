import { connect } from 'node:net';
import type { Authenticator, ConnectionOptions, NatsConnection } from 'nats';
import { AiotError, isUntrusted, systemCode } from '../../core/errors.js';
import type { StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import type { NatsSettings } from './settings.js';

export interface NatsClient {
  nc: NatsConnection;
  nats: typeof import('nats');
  /** Called whenever the connection is lost or restored. */
  onState(listener: (state: 'connected' | 'disconnected') => void): void;
  /** Called with errors that the server reports while connected. */
  onError(listener: (error: AiotError, operation: string | undefined) => void): void;
  /** Called if anything other than `close` has permanently closed the connection. */
  onEnd(listener: (error: AiotError) => void): void;
  /** Resolves once everything sent has reached the server, or after 2 s. */
  close(): Promise<void>;
}

/**
 * Opens a connection that is restored indefinitely; only the first attempt can fail.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL
 */
export async function connectNats(
  url: StreamUrl,
  options: StreamOptions,
  settings: Pick<NatsSettings, 'servername' | 'tlsFirst'>,
): Promise<NatsClient> {
  const { endpoint } = url;
  options.signal?.throwIfAborted();
  const servers = serversOf(url);
  const timeout = options.connectTimeoutMs ?? 10_000;
  const tls = tlsOf(url, options, settings);
  const certificate = options.cert !== undefined;
  if (!settings.tlsFirst) await greet(servers, { endpoint, certificate, timeoutMs: timeout });
  const nats = await import('nats');
  let connected: NatsConnection | undefined;
  const nc = await nats
    .connect({
      servers,
      name: 'aiot',
      timeout,
      maxReconnectAttempts: -1,
      reconnectDelayHandler() {
        forgetTomorrow(connected);
        return 500 + Math.random() * 500;
      },
      pingInterval: 20_000,
      ...tls,
      ...identityOf(url, options, nats),
    })
    .catch((error: unknown) => {
      throw natsError(error, endpoint);
    });
  connected = nc;
  return watched(nc, nats, options, endpoint);
}

/**
 * Clears nats.js's record of the last attempt. nats.js measures its delays with the wall clock, so it would wait much
 * longer if the clock were set back in the meantime.
 */
function forgetTomorrow(nc: NatsConnection | undefined): void {
  const { protocol } = (nc ?? {}) as { protocol?: { servers?: { servers?: { lastConnect: number }[] } } };
  for (const server of protocol?.servers?.servers ?? [])
    if (server.lastConnect > Date.now()) server.lastConnect = 0;
}

/** @throws AIOT_STREAM_URL */
function serversOf({ scheme, host, endpoint }: StreamUrl): string[] {
  const servers = host.split(',').map((server) => server.trim());
  for (const server of servers) {
    const [, , port = '4222'] = /^(\[[0-9a-f:.]+\]|[^\s:/]+)(?::(\d{1,5}))?$/i.exec(server) ?? ['', '', '0'];
    if (Number(port) >= 1 && Number(port) <= 65_535) continue;
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${endpoint}: expected HOST or HOST:PORT after ${scheme}://, with a port of 1 to 65535`,
    );
  }
  return servers;
}

/** TLS settings. Servers may require TLS for a `nats:` URL too; `natss:` rejects servers without TLS. */
function tlsOf(
  { scheme, host }: StreamUrl,
  { ca, cert, key }: StreamOptions,
  { servername, tlsFirst }: Pick<NatsSettings, 'servername' | 'tlsFirst'>,
): Pick<ConnectionOptions, 'tls'> {
  // Without the host, Node verifies the certificate of a server addressed by IP against "localhost".
  const address = host.includes(',') ? {} : { host: host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '') };
  const given = {
    ...(ca ? { ca } : {}),
    ...(cert && key ? { cert, key } : {}),
    ...(servername ? { servername } : {}),
    ...(tlsFirst ? { handshakeFirst: true } : {}),
  };
  return scheme === 'natss' || Object.keys(given).length > 0 ? { tls: { ...address, ...given } } : {};
}

/** The client's identity. In the URL, a user without a password is a token (as in NATS's own clients). */
function identityOf(
  url: StreamUrl,
  { token, creds, nkey, username, password }: StreamOptions,
  { credsAuthenticator, nkeyAuthenticator }: typeof import('nats'),
): ConnectionOptions {
  const authenticators: Authenticator[] = [];
  if (creds) authenticators.push(credsAuthenticator(Buffer.from(creds)));
  if (nkey) authenticators.push(nkeyAuthenticator(Buffer.from(nkey)));
  const user = url.username ?? username;
  const pass = url.username === undefined ? password : url.password;
  const signed = authenticators.length > 0 ? { authenticator: authenticators } : {};
  if (user !== undefined && pass !== undefined) return { ...signed, user, pass };
  const only = user ?? token;
  return {
    ...signed,
    ...(only === undefined ? {} : { token: only }),
  };
}

function watched(
  nc: NatsConnection,
  nats: typeof import('nats'),
  options: StreamOptions,
  endpoint: string,
): NatsClient {
  const states: ((state: 'connected' | 'disconnected') => void)[] = [];
  const errors: ((error: AiotError, operation: string | undefined) => void)[] = [];
  const ends: ((error: AiotError) => void)[] = [];
  let closing = false;
  const tell = (state: 'connected' | 'disconnected') => {
    if (closing) return;
    for (const listener of states) listener(state);
    options.onState?.(state);
  };
  void (async () => {
    for await (const { type, data, permissionContext } of nc.status() as AsyncIterable<{
      type: string;
      data: unknown;
      permissionContext?: { operation: string; subject: string };
    }>) {
      if (type === 'disconnect') tell('disconnected');
      else if (type === 'reconnect') tell('connected');
      else if (type === 'error') {
        const error = natsError({ code: String(data), permissionContext, message: String(data) }, endpoint);
        for (const listener of errors) listener(error, permissionContext?.operation);
      }
    }
  })();
  void nc.closed().then((error) => {
    if (closing) return;
    const ended = natsError(error ?? new Error('the connection was closed'), endpoint);
    for (const listener of ends) listener(ended);
  });
  return {
    nc,
    nats,
    onState: (listener) => void states.push(listener),
    onError: (listener) => void errors.push(listener),
    onEnd: (listener) => void ends.push(listener),
    async close() {
      closing = true;
      if (!nc.isClosed()) await within(2000, nc.flush());
      await within(2000, nc.close());
    },
  };
}

/**
 * Reads the first line of the first server that responds, before nats.js connects. This detects two problems that
 * nats.js would report only as a timeout: the server is not a NATS server, or a required client certificate is missing.
 * nats.js handles servers that accept no connection.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED
 */
async function greet(
  servers: readonly string[],
  { endpoint, certificate, timeoutMs }: { endpoint: string; certificate: boolean; timeoutMs: number },
): Promise<void> {
  for (const server of servers) {
    const [, bracketed, plain, port = '4222'] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(server) ?? [];
    const heard = await firstLine(bracketed ?? plain ?? server, Number(port), timeoutMs);
    if (heard === undefined) continue;
    if (!heard.startsWith('INFO ')) {
      throw new AiotError(
        'AIOT_BROKER_UNREACHABLE',
        `${endpoint}: the server at ${server} does not speak NATS`,
        {
          endpoint,
          next: 'Check the port: NATS uses 4222, and its monitoring uses 8222.',
        },
      );
    }
    if (certificate || !/"tls_verify":\s*true/.test(heard)) return;
    throw new AiotError('AIOT_BROKER_REFUSED', `${endpoint} requires a client certificate`, {
      endpoint,
      next: 'Provide one with --cert FILE and --key FILE.',
    });
  }
}

/**
 * The first line that a server sends, such as `INFO {…}`. Empty if something accepts the connection but nothing
 * arrives; undefined if nothing accepts the connection.
 */
function firstLine(host: string, port: number, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text: string | undefined;
    const socket = connect({ host, port });
    const end = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(text);
    };
    const timer = setTimeout(end, timeoutMs);
    socket.on('connect', () => {
      text = '';
    });
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (!text?.startsWith('INFO'.slice(0, text.length)) || text.includes('\n')) end();
    });
    socket.on('error', end);
    socket.on('close', end);
  });
}

/** Waits for a task for at most `ms`. A failure of the task is ignored. */
export async function within(ms: number, task: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([task.catch(() => {}), late]);
  clearTimeout(timer);
}

/** NatsError's codes (core.ts of nats.js 2) for rejections by a server. */
const refused = new Set([
  'AUTHORIZATION_VIOLATION',
  'AUTHENTICATION_EXPIRED',
  'AUTHENTICATION_TIMEOUT',
  'ACCOUNT_EXPIRED',
  'PERMISSIONS_VIOLATION',
]);

interface NatsFailure {
  code?: string;
  chainedError?: unknown;
  permissionContext?: { operation: string; subject: string };
  api_error?: { code: number; err_code: number; description: string };
}

/** Converts an error of nats.js to a coded one. `endpoint` must not contain credentials. */
export function natsError(error: unknown, endpoint: string, doing = ''): AiotError {
  if (error instanceof AiotError) return error;
  const { code = '', chainedError, permissionContext, api_error } = (error ?? {}) as NatsFailure;
  const where = doing === '' ? endpoint : `${endpoint}, ${doing}`;
  const message = (error instanceof Error ? error.message : String(error))
    .toLowerCase()
    .replace(/^'|'$/g, '');
  if (refused.has(code)) {
    const what = permissionContext
      ? `does not permit this client to ${permissionContext.operation === 'publish' ? 'publish' : 'subscribe'} to ${permissionContext.subject}`
      : `rejected the connection: ${message.replaceAll('_', ' ')}`;
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} ${what}`, { cause: error, endpoint });
  }
  if (code === 'MAX_PAYLOAD_EXCEEDED') {
    return new AiotError('AIOT_STREAM_MESSAGE_REFUSED', `${where}: ${message.replaceAll('_', ' ')}`, {
      cause: error,
      endpoint,
      next: 'Raise max_payload on the server, or send smaller messages.',
    });
  }
  if (api_error) {
    const { description, err_code } = api_error;
    return new AiotError('AIOT_BROKER_REFUSED', `${where}: JetStream error: ${description} (${err_code})`, {
      cause: error,
      endpoint,
      next: 'Check the name, and list the streams and their subjects with `aiot stream list URL`.',
    });
  }
  if (code === '503') {
    return new AiotError('AIOT_BROKER_UNREACHABLE', `${where}: no response from JetStream`, {
      cause: error,
      endpoint,
      retryable: true,
      next: 'Start the server with JetStream (nats-server -js), or omit --jetstream.',
    });
  }
  return unreachable(error, chainedError, endpoint, where, message || code);
}

function unreachable(
  error: unknown,
  chained: unknown,
  endpoint: string,
  where: string,
  message: string,
): AiotError {
  const name = systemCode(chained) ?? systemCode(error);
  if (name?.startsWith('ERR_SSL_') && name.includes('ALERT')) {
    return new AiotError('AIOT_BROKER_REFUSED', `${endpoint} rejected the connection: ${name}`, {
      cause: error,
      endpoint,
      next: 'The server may require a client certificate: --cert and --key.',
    });
  }
  const untrusted = name !== undefined && isUntrusted(name);
  const why = chained instanceof Error ? chained.message : message.replaceAll('_', ' ');
  return new AiotError('AIOT_BROKER_UNREACHABLE', `${where}: ${why || 'no response'}`, {
    cause: error,
    endpoint,
    retryable: !untrusted,
    ...(untrusted ? { next: 'Specify the CA that signed its certificate: --ca FILE' } : {}),
  });
}
