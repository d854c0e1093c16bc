import { createServer, type ServerResponse } from 'node:http';
import { AiotError, aiotVersion, systemCode } from '../../core/index.js';
import type { LoopMonitor } from '../monitor.js';
import { healthOf } from './health.js';
import { loopMetrics } from './metrics.js';

export interface Pages {
  /** Where it listens: `127.0.0.1:9898`. */
  at: string;
  close(): Promise<void>;
}

/**
 * `/healthz` (200 or 503, with the reasons), `/metrics` for Prometheus, `/status` as JSON. Tells and changes nothing; whom the port is open
 * to sees it, so it is this machine's alone unless a host is named.
 * @param listen `PORT`, `HOST:PORT` or `[::]:PORT`; port 0 takes any free one
 * @throws AIOT_USAGE, AIOT_PORT_IN_USE
 */
export async function servePages(listen: string, monitor: LoopMonitor): Promise<Pages> {
  const { host, port } = placeOf(listen);
  const server = createServer({ headersTimeout: 5000, requestTimeout: 5000, keepAliveTimeout: 5000 });
  server.maxConnections = 32;
  server.on('request', (request, response) => {
    const path = request.url?.split('?', 1)[0] ?? '';
    if (request.method !== 'GET' && request.method !== 'HEAD')
      answer(response, 405, 'text/plain', 'GET only\n');
    else page(path, monitor, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(notListening(listen, cause)));
    server.listen(port, host, resolve);
  });
  // What goes wrong with one connection is its own.
  server.on('error', () => {});
  const at = server.address();
  const bound = typeof at === 'object' && at ? at.port : port;
  return {
    at: `${host.includes(':') ? `[${host}]` : host}:${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function page(path: string, monitor: LoopMonitor, response: ServerResponse): void {
  const status = monitor.status();
  if (path === '/healthz') {
    const { healthy, reasons } = healthOf(status);
    const body = { status: healthy ? 'ok' : 'not ok', reasons, loop: status.name, version: aiotVersion() };
    answer(response, healthy ? 200 : 503, 'application/json', `${JSON.stringify(body)}\n`);
  } else if (path === '/metrics') {
    answer(response, 200, 'text/plain; version=0.0.4; charset=utf-8', loopMetrics(status));
  } else if (path === '/status') {
    answer(response, 200, 'application/json', `${JSON.stringify(status)}\n`);
  } else {
    answer(response, 404, 'text/plain', '/healthz /metrics /status\n');
  }
}

function answer(response: ServerResponse, code: number, type: string, body: string): void {
  response.writeHead(code, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
}

function placeOf(listen: string): { host: string; port: number } {
  const [, bracketed, plain, digits] = /^(?:(?:\[([\da-f:.]+)\]|([\w.-]*)):)?(\d{1,5})$/i.exec(listen) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) {
    throw new AiotError('AIOT_USAGE', `--listen: expected PORT or HOST:PORT, got "${listen}"`);
  }
  return { host: bracketed ?? (plain || '127.0.0.1'), port };
}

function notListening(listen: string, cause: unknown): AiotError {
  const code = systemCode(cause) ?? 'unknown error';
  const taken = code === 'EADDRINUSE';
  return new AiotError(
    taken ? 'AIOT_PORT_IN_USE' : 'AIOT_USAGE',
    taken ? `another program listens on ${listen}` : `cannot listen on ${listen} (${code})`,
    { cause },
  );
}
