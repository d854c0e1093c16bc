import { systemCode } from './errors.js';

/** Response of a page; status 200 by default. */
export interface Page {
  status?: number;
  type: string;
  body: string;
}

/** Thrown if a port cannot be opened for listening. The caller words the message for the user. */
export class ListenFailure extends Error {
  constructor(
    /** The system's error code, such as `EADDRINUSE`. */
    readonly code: string,
    cause: unknown,
  ) {
    super(code, { cause });
  }
}

/**
 * Serves a few small pages to probes and Prometheus. Pages are generated for each request and not cached; the number of connections is
 * limited, and timeouts are short. Anyone who can reach the port can read them.
 * @param port 0 = any free one
 * @throws ListenFailure
 */
export async function servePages(
  { host, port }: { host: string; port: number },
  pageOf: (request: { method: string; path: string }) => Page,
): Promise<{ port: number; close(): Promise<void> }> {
  const { createServer } = await import('node:http');
  const times = { headersTimeout: 5000, requestTimeout: 5000, keepAliveTimeout: 5000 };
  const server = createServer(times, ({ method = '', url = '' }, response) => {
    const { status = 200, type, body } = pageOf({ method, path: url.split('?', 1)[0] ?? '' });
    response.writeHead(status, {
      'content-type': type,
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
    });
    response.end(body);
  });
  server.maxConnections = 32;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(new ListenFailure(systemCode(cause) ?? 'unknown error', cause)));
    server.listen(port, host, resolve);
  });
  // An error on one connection must not affect the others.
  server.on('error', () => {});
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
