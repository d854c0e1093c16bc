import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { TestPlatform } from './platform.js';

/** A fault in a response, which replaces its status, slows it down, or cuts it off after a number of bytes. */
export interface Fault {
  status?: number;
  /** Bytes per second. */
  rate?: number;
  cutAfter?: number;
  /** Sends only the first part of the body until this resolves. */
  hold?: Promise<void>;
}

export interface Passed {
  method: string;
  /** Path relative to the device's base. */
  path: string;
  status: number;
  headers: IncomingMessage['headers'];
  /** Body of the request. */
  body: string;
}

/** A plain HTTP proxy in front of a platform that simulates a bad network for clients. */
export async function faultyProxy({ platform, ca }: Pick<TestPlatform, 'platform' | 'ca'>) {
  const target = new URL(platform.urls.http);
  const passed: Passed[] = [];
  const waiting = new Set<() => void>();
  let underway = 0;
  let faultOf: (call: Pick<Passed, 'method' | 'path' | 'headers'>) => Fault = () => ({});
  const note = (call: Passed) => {
    underway--;
    passed.push(call);
    for (const look of waiting) look();
  };
  const server = createServer(async (asked, answer) => {
    const chunks: Buffer[] = [];
    for await (const chunk of asked) chunks.push(chunk as Buffer);
    underway++;
    const { method = '', url = '', headers } = asked;
    const path = url.replace(/^\/\w+\/controller\/v1\/[^/]+/, '');
    const call = { method, path, headers, body: Buffer.concat(chunks).toString('utf8') };
    const fault = faultOf(call);
    if (fault.status !== undefined) {
      note({ ...call, status: fault.status });
      answer.writeHead(fault.status, { 'content-length': 5 }).end('sorry');
      return;
    }
    let isAnswered = false;
    const on = request(
      { host: target.hostname, port: target.port, path: url, method, headers, ca, agent: false },
      async (from) => {
        isAnswered = true;
        note({ ...call, status: from.statusCode ?? 0 });
        if (from.headers['content-type']?.includes('json')) {
          const parts: Buffer[] = [];
          for await (const part of from) parts.push(part as Buffer);
          const text = Buffer.concat(parts).toString('utf8').replaceAll('https://', 'http://');
          answer.writeHead(from.statusCode ?? 0, { 'content-length': Buffer.byteLength(text) }).end(text);
          return;
        }
        answer.writeHead(from.statusCode ?? 0, from.headers);
        let sent = 0;
        try {
          for await (const part of from) {
            if (fault.cutAfter !== undefined && sent > fault.cutAfter) throw new Error('cut');
            sent += (part as Buffer).length;
            if (answer.destroyed) break;
            if (!answer.write(part)) await writable(answer);
            await fault.hold;
            if (fault.rate)
              await new Promise((go) => setTimeout(go, ((part as Buffer).length / fault.rate!) * 1000));
          }
          answer.end();
        } catch {
          answer.destroy();
        }
        from.destroy();
      },
    );
    on.on('error', () => answer.destroy());
    on.on('close', () => {
      if (!isAnswered) underway--;
    });
    on.end(call.body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    passed,
    /** Sets the fault for later requests; without an argument, there is none. */
    fail(how: typeof faultOf = () => ({})) {
      faultOf = how;
    },
    /** Resolves with the first matching call, starting at index `from`. */
    seen: (fits: (call: Passed) => boolean, from = 0): Promise<Passed> =>
      new Promise((resolve) => {
        const look = () => {
          const found = passed.slice(from).find(fits);
          if (!found) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
    /** Resolves when the calls of a client that has ended have all been passed on. */
    settled: async () => {
      const connections = () => promisify(server.getConnections).call(server) as Promise<number>;
      for (const deadline = Date.now() + 30_000; underway > 0 || (await connections()) > 0; await delay(10))
        if (Date.now() > deadline)
          throw new Error(`${underway} calls are under way on ${await connections()} connections after 30 s`);
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function writable(answer: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      answer.off('drain', done).off('close', done);
      resolve();
    };
    answer.on('drain', done).on('close', done);
  });
}

export type FaultyProxy = Awaited<ReturnType<typeof faultyProxy>>;
