import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';

export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: Record<string, unknown> }[];
  events?: { name: string }[];
  status?: { code: number; message: string };
}

/** A collector for tests, which parses what it receives as JSON. */
export interface FakeCollector {
  url: string;
  /** Requests by path, with headers, in order of arrival. */
  requests: { path: string; headers: IncomingMessage['headers']; body: Record<string, unknown> }[];
  spans(): ReceivedSpan[];
  /** How the next requests are answered: a status, or `hang` for no response. */
  answer: { status: number; body?: object; headers?: Record<string, string> } | 'hang';
  /** Resolves once `isTrue`; rejects after 20 seconds. */
  until(isTrue: () => boolean): Promise<void>;
  close(): Promise<void>;
}

export async function fakeCollector(): Promise<FakeCollector> {
  const own: FakeCollector = {
    url: '',
    requests: [],
    answer: { status: 200, body: {} },
    spans: () =>
      own.requests
        .filter(({ path }) => path.endsWith('/traces'))
        .flatMap(({ body }) => spansIn(body as unknown as TracesBody)),
    async until(isTrue) {
      for (let waited = 0; waited < 20_000; waited += 20) {
        if (isTrue()) return;
        await delay(20);
      }
      throw new Error(`not within 20 s; received ${JSON.stringify(own.spans().map(({ name }) => name))}`);
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  const server: Server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const bytes = Buffer.concat(parts);
    const text = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes;
    if (own.answer === 'hang') return;
    const { status, body = {}, headers = {} } = own.answer;
    if (status === 200)
      own.requests.push({
        ...{ path: request.url ?? '', headers: request.headers },
        body: JSON.parse(text.toString()) as Record<string, unknown>,
      });
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  own.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return own;
}

interface TracesBody {
  resourceSpans: { scopeSpans: { spans: ReceivedSpan[] }[] }[];
}

function spansIn({ resourceSpans }: TracesBody): ReceivedSpan[] {
  return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
}

/** The value of a span's attribute. */
export function attribute(span: ReceivedSpan | undefined, name: string): unknown {
  const value = span?.attributes.find(({ key }) => key === name)?.value;
  return value && Object.values(value)[0];
}
