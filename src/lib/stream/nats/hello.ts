import { connect } from 'node:net';
import { AiotError } from '../../core/index.js';

/**
 * Looks at the first line of the first server that answers, before nats.js does: where none comes it is no NATS server, and where the line
 * demands a client certificate one is needed. In both cases nats.js would wait in vain: for a line that does not come, and with TLS 1.3
 * for a server that hangs up only after the handshake. Servers that do not answer at all are left to the connection.
 * @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED
 */
export async function greet(
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
        `${endpoint}: what listens at ${server} does not speak NATS`,
        {
          endpoint,
          next: 'Check the port: NATS has 4222, its monitoring 8222.',
        },
      );
    }
    if (certificate || !/"tls_verify":\s*true/.test(heard)) return;
    throw new AiotError('AIOT_BROKER_REFUSED', `${endpoint} demands a client certificate`, {
      endpoint,
      next: 'Give one with --cert FILE and --key FILE.',
    });
  }
}

/** `INFO {…}`; empty where something listens and says nothing; undefined where nothing does. */
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
