import type { Clock } from '../core/index.js';
import type { TopicState } from './admin.js';

/** Topics that are told apart; the messages of further ones are counted as `others`. */
const mostTopics = 10_000;

/** Counts messages by topic while somebody listens: for brokers that have no list of what they carry. */
export interface Tally {
  count(topic: string, bytes: number): void;
  /** Rates since the tally began. */
  states(): Map<string, TopicState>;
}

export function createTally(clock: Clock): Tally {
  const began = clock.now();
  const seen = new Map<string, { messages: number; bytes: number; last: number }>();
  return {
    count(topic, bytes) {
      const name = seen.has(topic) || seen.size < mostTopics ? topic : 'others';
      const found = seen.get(name) ?? { messages: 0, bytes: 0, last: 0 };
      found.messages++;
      found.bytes += bytes;
      found.last = clock.now();
      seen.set(name, found);
    },
    states() {
      const seconds = Math.max(1, clock.now() - began) / 1000;
      return new Map(
        [...seen].map(([topic, { messages, bytes, last }]) => [
          topic,
          { topic, rate: messages / seconds, byteRate: bytes / seconds, last },
        ]),
      );
    },
  };
}
