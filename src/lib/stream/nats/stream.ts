import type { JetStreamManager, StreamInfo } from 'nats';
import { AiotError } from '../../core/errors.js';
import { type NatsClient, natsError } from './connect.js';

/** JetStream's error code (err_code) for a missing stream. */
export const streamMissing = 10_059;

export const consumerMissing = 10_014;

/** The JetStream error code in a nats.js error; 503 if nothing responds, and undefined for other errors. */
export function apiCode(error: unknown): number | undefined {
  const { api_error, code } = (error ?? {}) as { api_error?: { err_code: number }; code?: string };
  return api_error?.err_code ?? (code === '503' ? 503 : undefined);
}

/** Whether the server itself provides JetStream. Without it, another server may still provide it through this one. */
export function hasJetStream({ nc }: NatsClient): boolean {
  return (nc.info as { jetstream?: boolean } | undefined)?.jetstream === true;
}

/** @throws AIOT_BROKER_UNREACHABLE (no JetStream), AIOT_BROKER_REFUSED */
export async function managerOf(client: NatsClient, endpoint: string): Promise<JetStreamManager> {
  try {
    // Without JetStream, the server immediately reports that nothing responds. If a client is subscribed to all
    // subjects, the server reports nothing, and only the timeout ends the wait.
    const timeout = hasJetStream(client) ? 10_000 : 1000;
    // checkAPI would query the account, which requires a permission that reading does not.
    return await client.nc.jetstreamManager({ checkAPI: false, timeout });
  } catch (error) {
    throw natsError(error, endpoint);
  }
}

/**
 * Finds the stream with this name, or else the stream that stores the subject.
 * @throws AIOT_STREAM_TOPIC_NOT_FOUND, AIOT_BROKER_*
 */
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
    const what = stream === undefined ? `no stream stores ${subject}` : `stream ${stream} does not exist`;
    throw new AiotError('AIOT_STREAM_TOPIC_NOT_FOUND', `${endpoint}: ${what}`, {
      cause: error,
      endpoint,
      next: `List the streams with \`aiot stream list ${endpoint}\`, or create one with \`aiot stream create\`.`,
    });
  }
}

/** Error codes for an account that is not allowed to use JetStream. */
const notEnabled = new Set([503, 10_039, 10_076]);

/**
 * All streams, or only the named stream; none if the server has no JetStream.
 * @throws AIOT_STREAM_TOPIC_NOT_FOUND, AIOT_BROKER_*
 */
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
