import type { Message } from '../message.js';
import { parseStreamUrl } from '../url.js';

/** How a far side writes the levels of a topic. */
type Family = 'mqtt' | 'nats' | 'kafka' | 'other';

const families: Record<string, Family> = {
  mqtt: 'mqtt',
  mqtts: 'mqtt',
  ws: 'mqtt',
  wss: 'mqtt',
  aiot: 'mqtt',
  nats: 'nats',
  natss: 'nats',
  kafka: 'kafka',
  kafkas: 'kafka',
};

/**
 * Which topic a message has at a sink, where the route has no `topic`: the URL's own (the sink knows it, so it is empty here), else the message's,
 * written as this far side writes topics. A URL's topic that ends in `#` (MQTT) or `>` (NATS) is a prefix: what came from
 * `sensors/1` goes to `site/#` as `site/sensors/1`. Files, HTTP and the like have no topics: they get the message's own.
 */
export function topicAt(url: string): (message: Pick<Message, 'topic' | 'source'>) => string {
  const { scheme, host, path } = parseStreamUrl(url);
  // A dataset's name is no topic: the message's own may name the device.
  const family = scheme === 'aiot' && host === 'dataset' ? 'other' : (families[scheme] ?? 'other');
  if (family === 'other') return ({ topic }) => topic;
  const prefix = /^(.*?)[#>]$/s.exec(path)?.[1];
  if (path !== '' && prefix === undefined) return () => '';
  return ({ topic, source }) => `${prefix ?? ''}${translated(topic, familyOf(source), family)}`;
}

function familyOf(endpoint: string): Family {
  return families[/^([a-z]+):/.exec(endpoint)?.[1] ?? ''] ?? 'other';
}

/**
 * `a/b` ↔ `a.b`. A dot within an MQTT level would make two of one, so it becomes `_` in NATS, as do blanks; Kafka's topics have letters, digits, `.`,
 * `_` and `-` alone (Kafka, `Topic.java`), and `/` becomes `.`.
 */
function translated(topic: string, from: Family, to: Family): string {
  if (from === to) return topic;
  switch (to) {
    case 'mqtt':
      return from === 'nats' ? topic.replaceAll('.', '/') : topic;
    case 'nats':
      return from === 'mqtt' ? topic.replaceAll(/[.\s*>]/g, '_').replaceAll('/', '.') : topic;
    case 'kafka':
      return topic.replaceAll('/', '.').replaceAll(/[^A-Za-z0-9._-]/g, '_');
    case 'other':
      return topic;
  }
}
