import { type Agent, request as httpsRequest } from 'node:https';
import { connect } from 'node:tls';
import type { TestPlatform } from './platform.js';

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

export interface Asked {
  method?: string;
  headers?: Record<string, string | string[]>;
  body?: string;
  token?: string;
  /** An agent that lets requests share connections. */
  agent?: Agent;
}

/** Sends a request without our client, to see the server's own response. */
export function ask(
  { platform, ca, token: own }: Pick<TestPlatform, 'platform' | 'ca' | 'token'>,
  path: string,
  { method = 'GET', headers = {}, body, token = own, agent }: Asked = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const authorization = token === '' ? {} : { authorization: `Bearer ${token}` };
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const url = new URL(platform.urls.http);
    // The path is sent unchanged, because no URL parser normalizes it.
    const call = httpsRequest(
      {
        host: url.hostname,
        port: url.port,
        path,
        method,
        ca,
        ...(agent ? { agent } : {}),
        headers: { ...authorization, ...type, ...headers },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      },
    );
    call.on('error', reject);
    call.end(body);
  });
}

/**
 * Sends raw bytes over TLS. Resolves with the complete response when the server closes the connection, or
 * after `waitMs`.
 */
export function send(
  { platform, ca }: Pick<TestPlatform, 'platform' | 'ca'>,
  bytes: string,
  waitMs = 20_000,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const url = new URL(platform.urls.http);
    const socket = connect({ host: url.hostname, port: Number(url.port), ca, servername: 'localhost' });
    let got = '';
    const timer = setTimeout(() => socket.destroy(), waitMs);
    socket.on('data', (chunk) => {
      got += chunk.toString('utf8');
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(got);
    });
    socket.on('error', (error: Error & { code?: string }) =>
      error.code === 'ECONNRESET' ? undefined : reject(error),
    );
    socket.write(bytes);
  });
}
