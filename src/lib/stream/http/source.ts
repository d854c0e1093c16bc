import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AiotError, systemCode } from '../../core/errors.js';
import type { Delivery, Message, Source, StreamOptions } from '../message.js';
import { createQueue, type Queue } from '../queue.js';
import type { StreamUrl } from '../url.js';
import { checkSignature, equal, incomingHeaders } from './headers.js';
import { httpSourceSettings } from './settings.js';

/**
 * Opens a server for webhooks. A body POSTed (or PUT) to the path, or below it if the path ends with `/`, becomes a
 * message. The sender gets 200 once the message is acked, and 503 with Retry-After otherwise. With a secret, unsigned
 * requests are rejected (401). With a token or a password, requests without it are rejected. TLS requires a certificate
 * and its key. If a CA is given too, clients need a certificate.
 * @throws AIOT_STREAM_URL, AIOT_PORT_IN_USE
 */
export async function openHttpSource(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const settings = httpSourceSettings(url, options);
  const { hostname, port } = addressOf(url);
  const queue = createQueue<Delivery>(options.queue ?? 10_000);
  const open = new Set<ServerResponse>();
  const parts: Parts = { url, options, settings, queue };
  const server = await serverOf(url, options, (request, response) => {
    open.add(response);
    response.on('close', () => open.delete(response));
    // A failure while handling one request must not affect the others.
    take(parts, request, response).catch(() => answer(response, 500, 'the message was rejected'));
  });
  server.requestTimeout = 60_000;
  server.listen(port, hostname);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new AiotError(
      systemCode(error) === 'EADDRINUSE' ? 'AIOT_PORT_IN_USE' : 'AIOT_STREAM_URL',
      `${url.endpoint}: cannot listen on this address (${systemCode(error)})`,
      { cause: error, next: 'Use a free port, and an address of this machine such as 0.0.0.0.' },
    );
  }
  server.on('error', (error) => queue.end(error));
  const bound = (server.address() as AddressInfo).port;
  return {
    endpoint: `${url.scheme}://${hostname.includes(':') ? `[${hostname}]` : hostname}:${bound}`,
    // Nothing is dropped, because a client whose message is not accepted gets an error and retries.
    dropped: 0,
    [Symbol.asyncIterator]: () => queue[Symbol.asyncIterator](),
    async close() {
      queue.end();
      for (const response of open) answer(response, 503, 'closing');
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      setTimeout(() => server.closeAllConnections(), 500).unref();
      await closed;
    },
  };
}

interface Parts {
  url: StreamUrl;
  options: StreamOptions;
  settings: ReturnType<typeof httpSourceSettings>;
  queue: Queue<Delivery>;
}

async function take(parts: Parts, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { url, options, settings, queue } = parts;
  const [path = '/'] = (request.url ?? '/').split('?');
  const wanted = `/${url.path.split('?')[0]}`;
  if (path !== wanted && !(wanted.endsWith('/') && path.startsWith(wanted)))
    return answer(response, 404, 'not found');
  if (request.method !== 'POST' && request.method !== 'PUT') {
    response.setHeader('allow', 'POST, PUT');
    return answer(response, 405, 'expected POST');
  }
  if (!knows(request, url, options)) {
    response.setHeader('www-authenticate', options.token === undefined ? 'Basic' : 'Bearer');
    return answer(response, 401, 'unauthorized');
  }
  const body = await bodyOf(request, settings.limit);
  if (body === undefined) return answer(response, 413, `expected at most ${settings.limit} bytes`);
  if (body === null) return;
  if (settings.secret !== undefined) {
    const verdict = checkSignature(settings.secret, (name) => headerOf(request, name), body);
    if (!verdict.ok) return answer(response, 401, verdict.why);
  }
  const key = headerOf(request, 'aiot-key');
  const message: Message = {
    topic:
      settings.topic ??
      (headerOf(request, 'aiot-topic') ? decoded(headerOf(request, 'aiot-topic')!) : path.slice(1)),
    payload: body,
    time: Date.now(),
    headers: incomingHeaders(request),
    ...(key === undefined ? {} : { key: Buffer.from(decoded(key)) }),
    source: url.endpoint,
  };
  const timer = setTimeout(() => later(response, 'not stored yet'), settings.waitMs);
  const settle = (ok: boolean) => {
    clearTimeout(timer);
    if (ok) answer(response, 200, '');
    else later(response, 'could not be delivered');
  };
  const taken = queue.push({ message, ack: () => settle(true), nack: () => settle(false) }, body.length);
  if (taken) return;
  clearTimeout(timer);
  later(response, 'too many concurrent requests');
}

function answer(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent || response.destroyed) return;
  // The connection is closed, because otherwise the unread rest of a rejected body would be parsed as the next
  // request.
  if (status === 413 || status === 503) response.setHeader('connection', 'close');
  response
    .writeHead(status, { 'content-type': 'text/plain; charset=utf-8' })
    .end(text === '' ? '' : `${text}\n`);
}

function later(response: ServerResponse, text: string): void {
  if (!response.headersSent) response.setHeader('retry-after', '1');
  answer(response, 503, text);
}

/** Reads the body of a request; undefined if it is longer than allowed, null if the sender has disconnected. */
async function bodyOf(request: IncomingMessage, limit: number): Promise<Buffer | undefined | null> {
  if (Number(request.headers['content-length'] ?? 0) > limit) return undefined;
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > limit) return undefined;
      chunks.push(chunk);
    }
  } catch {
    return null;
  }
  return Buffer.concat(chunks);
}

/** Whether the sender presents the token or password, if one is required. */
function knows(request: IncomingMessage, url: StreamUrl, options: StreamOptions): boolean {
  const { username = options.username, password = options.password } = url;
  const shown = request.headers.authorization ?? '';
  if (password !== undefined) {
    return equal(shown, `Basic ${Buffer.from(`${username ?? ''}:${password}`).toString('base64')}`);
  }
  return options.token === undefined || equal(shown, `Bearer ${options.token}`);
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function addressOf(url: StreamUrl): { hostname: string; port: number } {
  const [, hostname = '', digits] = /^\[?([^\]]*?)\]?(?::(\d{1,5}))?$/.exec(url.host) ?? [];
  const port = Number(digits ?? (url.scheme === 'https' ? 443 : 80));
  if (hostname !== '' && port < 65_536) return { hostname, port };
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${url.endpoint}: expected an address to listen on, such as http://0.0.0.0:12000/PATH`,
  );
}

async function serverOf(
  url: StreamUrl,
  { ca, cert, key }: StreamOptions,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  if (url.scheme === 'http') return (await import('node:http')).createServer(handler);
  if (!cert || !key) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: an https server needs a certificate and its key`,
      {
        next: 'Provide them with --cert FILE and --key FILE.',
      },
    );
  }
  const mutual = ca ? { ca, requestCert: true, rejectUnauthorized: true } : {};
  return (await import('node:https')).createServer({ cert, key, ...mutual }, handler);
}
