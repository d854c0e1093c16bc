import { deviceChannels, isProtocolTopic, parseTopic } from '../../device/index.js';
import { filterCovers, topicMatcher } from './filter.js';
import type { BoardDoor, Identity, UserIdentity } from './identity.js';

/**
 * A device publishes on its own channels only; boards on what their listener is for; operators on every topic that is not the
 * broker's own, ci on those that are not protocol v1's, viewers on none; each within the `stream:` scopes of its token.
 */
export function mayPublish(identity: Identity, topic: string): boolean {
  if (topic.startsWith('$')) return false;
  if (identity.kind === 'user') {
    // What is meant for devices is an operator's to say.
    const may = identity.role === 'operator' || (identity.role === 'ci' && !isProtocolTopic(topic));
    return may && inScope(identity, (allowed) => topicMatcher(allowed)(topic));
  }
  if (identity.kind === 'board') {
    // What the platform takes for a device's word comes from devices with certificates alone.
    return !isProtocolTopic(topic) && matchersOf(identity.door).some((fits) => fits(topic));
  }
  const parts = parseTopic(topic);
  return parts !== null && parts.device === identity.name && deviceChannels[parts.channel] === 'device';
}

/** A device hears what the platform sends to it, and nothing else: wildcards reach further, so it gets none. */
export function maySubscribe(identity: Identity, filter: string): boolean {
  if (identity.kind === 'user') return inScope(identity, (allowed) => filterCovers(allowed, filter));
  if (identity.kind === 'board')
    return identity.door.subscribe.some((allowed) => filterCovers(allowed, filter));
  const parts = parseTopic(filter);
  return parts !== null && parts.device === identity.name && deviceChannels[parts.channel] === 'platform';
}

function inScope({ scopes }: UserIdentity, covers: (filter: string) => boolean): boolean {
  if (scopes === null) return true;
  return scopes.some((scope) => scope.startsWith('stream:') && covers(scope.slice('stream:'.length)));
}

/** Made once a listener, for they are asked with each message. */
const matchers = new WeakMap<BoardDoor, ((topic: string) => boolean)[]>();

function matchersOf(door: BoardDoor): ((topic: string) => boolean)[] {
  const known = matchers.get(door) ?? door.publish.map(topicMatcher);
  matchers.set(door, known);
  return known;
}
