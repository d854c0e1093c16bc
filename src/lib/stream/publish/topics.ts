import { AiotError } from '../../core/index.js';
import type { OutgoingMessage } from '../message.js';
import { topicAt } from '../route/topics.js';
import { parseStreamUrl } from '../url.js';

/** Schemes whose path is no topic. */
export const pathless: ReadonlySet<string> = new Set([
  'file',
  'stdin',
  'serial',
  'http',
  'https',
  's3',
  'tcp',
  'telegram',
]);

/**
 * The messages with the topic that they go to, as of routes: the URL's (an empty one, for its sink), or their own.
 * @throws AIOT_USAGE for a message without a topic, where the URL has none either
 */
export function withTopics(
  url: string,
): (messages: readonly OutgoingMessage[]) => readonly OutgoingMessage[] {
  const { scheme, path } = parseStreamUrl(url);
  const topicOf = topicAt(url);
  return (messages) =>
    messages.map((message) => {
      const topic = topicOf({ topic: message.topic, source: '' });
      if (topic !== '' || (path !== '' && !pathless.has(scheme))) return { ...message, topic };
      // Lines and objects have one, whatever it is.
      if (pathless.has(scheme)) return { ...message, topic: 'aiot' };
      throw new AiotError('AIOT_USAGE', `${scheme}: a message has no topic, and there is none in the URL`, {
        next: `Give the URL one: ${scheme}://HOST/TOPIC`,
      });
    });
}
