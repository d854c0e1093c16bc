import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { isUntrusted, systemCode } from '../../core/index.js';
import type { CheckResult } from '../admin.js';
import type { StreamOptions } from '../options.js';
import type { StreamUrl } from '../url.js';
import { hostAndPort } from './connect.js';

const timeoutMs = 5000;

/** How far a connection gets before MQTT begins: the name, the port, TLS. Ends at what fails. @throws AIOT_STREAM_URL */
export async function checkReach(url: StreamUrl, options: StreamOptions): Promise<CheckResult[]> {
  const { host, port } = hostAndPort(url);
  const results: CheckResult[] = [];
  try {
    const { address } = await lookup(host);
    if (address !== host) results.push({ what: 'name', state: 'ok', detail: `${host} is ${address}` });
  } catch (error) {
    return [
      { what: 'name', state: 'failed', detail: `${host} is not known (${systemCode(error) ?? 'no answer'})` },
    ];
  }
  const started = Date.now();
  try {
    const socket = connect({ host, port, timeout: timeoutMs });
    socket.on('timeout', () => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    await once(socket, 'connect');
    socket.destroy();
    results.push({ what: 'port', state: 'ok', detail: `${port} is open, ${Date.now() - started} ms` });
  } catch (error) {
    return [...results, { what: 'port', state: 'failed', detail: whyClosed(error, port) }];
  }
  if (['mqtts', 'wss'].includes(url.scheme)) results.push(await checkTls(host, port, options));
  return results;
}

function whyClosed(error: unknown, port: number): string {
  const code = systemCode(error);
  if (code === 'ECONNREFUSED') return `nobody listens on port ${port}`;
  return `port ${port}: ${error instanceof Error ? error.message : String(error)}`;
}

async function checkTls(host: string, port: number, options: StreamOptions): Promise<CheckResult> {
  const { ca, cert, key } = options;
  let socket: TLSSocket | undefined;
  try {
    socket = connectTls({
      host,
      port,
      ca,
      cert,
      key,
      servername: /[a-z]/i.test(host) ? host : '',
      timeout: timeoutMs,
    });
    socket.on('timeout', () => socket?.destroy(new Error(`no TLS within ${timeoutMs} ms`)));
    await once(socket, 'secureConnect');
    const { valid_to: until } = socket.getPeerCertificate();
    return { what: 'TLS', state: 'ok', detail: `${socket.getProtocol()}, certificate until ${until}` };
  } catch (error) {
    const code = systemCode(error);
    const message = error instanceof Error ? error.message : String(error);
    const untrusted = code !== undefined && isUntrusted(code);
    const advice = untrusted
      ? 'Name the CA that signed its certificate: --ca FILE'
      : 'The port may be a plain one: mqtt://';
    return { what: 'TLS', state: 'failed', detail: `${message}. ${advice}` };
  } finally {
    socket?.destroy();
  }
}
