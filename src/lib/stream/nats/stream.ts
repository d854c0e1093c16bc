import type { JetStreamManager, StreamInfo } from 'nats';
import { AiotError } from '../../core/errors.js';
import { type NatsClient, natsError } from './connect.js';

/** JetStream's error codes (err_code) for a stream and a consumer that are not there. */
export const streamMissing = 10_059;

export const consumerMissing = 10_014;

/** The JetStream error code of what nats.js throws, 503 where nobody answers, or undefined. */
export function apiCode(error: unknown): number | undefined {
  const { api_error, code } = (error ?? {}) as { api_error?: { err_code: number }; code?: string };
  return api_error?.err_code ?? (code === '503' ? 503 : undefined);
}

/** Whether the server itself has it. Another one may still answer through this one. */
export function hasJetStream({ nc }: NatsClient): boolean {
  return (nc.info as { jetstream?: boolean } | undefined)?.jetstream === true;
}

/** @throws AIOT_BROKER_UNREACHABLE (no JetStream there), AIOT_BROKER_REFUSED */
export async function managerOf(client: NatsClient, endpoint: string): Promise<JetStreamManager> {
  try {
    // Nobody answers where there is none, and the server says so at once, unless somebody listens to everything.
    const timeout = hasJetStream(client) ? 10_000 : 1000;
    // Asking for the account first would want a permission that reading does not need.
    return await client.nc.jetstreamManager({ checkAPI: false, timeout });
  } catch (error) {
    throw natsError(error, endpoint);
  }
}

/** The stream of that name, or else the one that keeps the subject. @throws AIOT_STREAM_TOPIC_NOT_FOUND, AIOT_BROKER_* */
export async function findStream(
  manager: JetStreamManager,
  wanted: { stream: string | undefined; subject: string },
  endpoint: string,
): Promise<StreamInfo> {
  const { stream, subject } = wanted;
  try {
    return await manager.streams.info(stream ?? (await manager.streams.find(subject)));
  } catch (error) {
    const missing = apiCode(error) === streamMissing || /no stream matches/.test(String(error));
    if (!missing) throw natsError(error, endpoint);
    const what = stream === undefined ? `no stream keeps ${subject}` : `there is no stream ${stream}`;
    throw new AiotError('AIOT_STREAM_TOPIC_NOT_FOUND', `${endpoint}: ${what}`, {
      cause: error,
      endpoint,
      next: `aiot stream ls ${endpoint} lists them; aiot stream create makes one.`,
    });
  }
}

/** JetStream says so where an account may not use it. */
const notEnabled = new Set([503, 10_039, 10_076]);

/** All streams, or the one named; none where the server has no JetStream. @throws AIOT_STREAM_TOPIC_NOT_FOUND, AIOT_BROKER_* */
export async function streamsOf(
  client: NatsClient,
  name: string | undefined,
  endpoint: string,
): Promise<StreamInfo[]> {
  const manager = await managerOf(client, endpoint);
  if (name !== undefined) return [await findStream(manager, { stream: name, subject: '' }, endpoint)];
  const streams: StreamInfo[] = [];
  try {
    for await (const stream of manager.streams.list()) streams.push(stream);
  } catch (error) {
    const silent = !hasJetStream(client) && (error as { code?: string }).code === 'TIMEOUT';
    if (!silent && !notEnabled.has(apiCode(error) ?? 0))
      throw natsError(error, endpoint, 'listing its streams');
  }
  return streams.sort((a, b) => a.config.name.localeCompare(b.config.name));
}
