import { systemClock } from '../../../core/index.js';
import type { CheckResult } from '../../admin.js';
import type { NatsClient } from '../connect.js';
import { natsError } from '../errors.js';

/** Longest wait for one answer, ms. */
const answerMs = 5000;

/** What the server says, and what works: nothing is left behind. */
export async function checkServer(
  client: NatsClient,
  subject: string,
  endpoint: string,
): Promise<CheckResult[]> {
  const { nc } = client;
  const info = nc.info;
  const started = systemClock.now();
  await nc.flush();
  const results: CheckResult[] = [
    {
      what: 'server',
      state: 'ok',
      detail: `NATS ${info?.version ?? '?'}, ${info?.server_name || 'no name'}`,
    },
    { what: 'round trip', state: 'ok', detail: `${systemClock.now() - started} ms` },
    encryption(info?.tls_required ?? false, info?.tls_available ?? false, endpoint),
    info?.auth_required
      ? { what: 'authentication', state: 'ok', detail: 'asked for, and we were let in' }
      : { what: 'authentication', state: 'no', detail: 'anybody is let in' },
    { what: 'headers', state: info?.headers ? 'ok' : 'no', detail: info?.headers ? 'kept' : 'not supported' },
    { what: 'largest message', state: 'ok', detail: `${info?.max_payload ?? '?'} bytes` },
  ];
  results.push(await subscribes(client, subject, endpoint), await jetStream(client, endpoint));
  return results;
}

function encryption(required: boolean, available: boolean, endpoint: string): CheckResult {
  if (required || available || endpoint.startsWith('natss:')) {
    return { what: 'TLS', state: 'ok', detail: required ? 'demanded' : 'offered, and used' };
  }
  return { what: 'TLS', state: 'no', detail: 'not offered: what is sent can be read on the way' };
}

async function subscribes(client: NatsClient, subject: string, endpoint: string): Promise<CheckResult> {
  let refused: unknown;
  const subscription = client.nc.subscribe(subject, {
    callback(error) {
      refused ??= error ?? undefined;
    },
  });
  await client.nc.flush();
  subscription.unsubscribe();
  const what = `subscribe ${subject}`;
  if (refused) return { what, state: 'failed', detail: natsError(refused, endpoint).message };
  return { what, state: 'ok', detail: 'allowed' };
}

async function jetStream(client: NatsClient, endpoint: string): Promise<CheckResult> {
  const what = 'JetStream';
  try {
    const manager = await client.nc.jetstreamManager({ checkAPI: false, timeout: answerMs });
    const { streams, consumers, memory, storage, limits } = await manager.getAccountInfo();
    const space = limits.max_storage > 0 ? ` of ${limits.max_storage}` : '';
    const detail = `${streams} streams, ${consumers} consumers, ${storage}${space} bytes on disk, ${memory} in memory`;
    return { what, state: 'ok', detail };
  } catch (error) {
    const { message } = natsError(error, endpoint);
    return { what, state: 'no', detail: `${message}; messages are kept for nobody` };
  }
}
