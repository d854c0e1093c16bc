import { type Broker, type BrokerParts, startBroker } from './broker.js';
import type { ExternalParts } from './external/broker.js';

/** The broker in this process, or the one at `url`. @throws AIOT_BROKER_UNREACHABLE, AIOT_BROKER_REFUSED, AIOT_STREAM_URL */
export async function openBroker(
  external: Pick<ExternalParts, 'leader' | 'platform' | 'cutOff'> & { url: string | undefined },
  parts: BrokerParts,
): Promise<Broker> {
  const { url } = external;
  if (url === undefined) return startBroker(parts);
  const { startExternalBroker } = await import('./external/broker.js');
  return startExternalBroker({ ...parts, ...external, url });
}
