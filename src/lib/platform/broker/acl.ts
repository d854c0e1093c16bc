import { deviceChannels, parseTopic } from '../../device/index.js';
import type { Identity } from './identity.js';

/** A device publishes on its own channels only; operators on every topic that is not the broker's own. */
export function mayPublish(identity: Identity, topic: string): boolean {
  if (topic.startsWith('$')) return false;
  if (identity.kind === 'operator') return true;
  const parts = parseTopic(topic);
  return parts !== null && parts.device === identity.name && deviceChannels[parts.channel] === 'device';
}

/** A device hears what the platform sends to it, and nothing else: wildcards reach further, so it gets none. */
export function maySubscribe(identity: Identity, filter: string): boolean {
  if (identity.kind === 'operator') return !filter.startsWith('$SYS');
  const parts = parseTopic(filter);
  return parts !== null && parts.device === identity.name && deviceChannels[parts.channel] === 'platform';
}
