import { request as httpsRequest } from 'node:https';
import { connect } from 'node:tls';
import { type TestPlatform, testPlatform } from './platform.js';

export interface TestGuide extends TestPlatform {
  urls: { mqtt: string; devices: string; models: string; datasets: string };
}

/** Starts a platform with the guide's listeners on free ports. */
export async function testGuide(options: Parameters<typeof testPlatform>[0] = {}): Promise<TestGuide> {
  const own = await testPlatform({ compat: ['architects-guide'], compatPorts: [0, 0, 0, 0], ...options });
  return Object.defineProperty(own, 'urls', { get: () => own.platform.urls.guide }) as TestGuide;
}

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
  text: string;
}

/** Sends a request with an unchanged path. */
export function ask(
  url: string,
  path: string,
  options: {
    method?: string;
    headers?: Record<string, string>;
    body?: string | Buffer;
    ca: string;
    /** Whether to trust the server's own certificate as the CA, for any host name. */
    pinned?: boolean;
  },
): Promise<Answer> {
  const { method = 'GET', headers = {}, body, ca, pinned = false } = options;
  const { hostname, port } = new URL(url);
  const trust = pinned ? { ca, checkServerIdentity: () => undefined } : { ca };
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      { hostname, port, path, method, headers, ...trust, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const bytes = Buffer.concat(chunks);
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: bytes,
            text: bytes.toString(),
          });
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

/** A multipart form with one file, in the format sent by Go and Python. */
export function formOf(name: string, content: string | Buffer, field = 'file') {
  const boundary = 'b0undary';
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="${field}"; filename="${name}"\r\nContent-Type: application/octet-stream\r\n\r\n`;
  const body = Buffer.concat([
    Buffer.from(head),
    Buffer.from(content),
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ]);
  return { body, headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } };
}

/**
 * Sends these bytes over TLS. Resolves with the complete response when the peer closes the connection, or
 * after `ms`.
 */
export function rawly(url: string, ca: string, bytes: string | Buffer, ms = 20_000): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(
      { host: hostname, port: Number(port), ca, ALPNProtocols: ['h2', 'http/1.1'] },
      () => socket.write(bytes),
    );
    const timer = setTimeout(() => socket.destroy(), ms);
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks).toString('latin1'));
    });
  });
}
