import { connect } from 'node:net';
import { AiotError } from '../../core/index.js';

/**
 * Refuses at once a server that demands a client certificate where there is none: it says so in its first line, and with TLS 1.3 it
 * hangs up only after the handshake, for which nats.js then waits in vain. What cannot be read is left to the connection.
 * @throws AIOT_BROKER_REFUSED
 */
export async function refuseWithoutCertificate(
  server: string,
  endpoint: string,
  timeoutMs: number,
): Promise<void> {
  const [, bracketed, plain, port = '4222'] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(server) ?? [];
  const line = await firstLine(bracketed ?? plain ?? server, Number(port), timeoutMs);
  if (!/"tls_verify":\s*true/.test(line)) return;
  throw new AiotError('AIOT_BROKER_REFUSED', `${endpoint} demands a client certificate`, {
    endpoint,
    next: 'Give one with --cert FILE and --key FILE.',
  });
}

/** `INFO {…}`, or nothing where none comes. */
function firstLine(host: string, port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ host, port });
    const end = () => {
      socket.destroy();
      resolve(text);
    };
    socket.setTimeout(Math.min(timeoutMs, 3000), end);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.includes('\n') || text.length > 65_536) end();
    });
    socket.on('error', end);
    socket.on('close', end);
  });
}
