import { parseTopic } from '../../device/index.js';
import { topicMatcher } from './filter.js';
import { type BrokerMessage, weightOf } from './wire/packets.js';

/** The last retained message of each topic. */
export class Retained {
  private readonly byTopic = new Map<string, BrokerMessage>();
  bytes = 0;
  /** Of those that clients had retained: the platform's own take nobody's room. */
  private readonly theirs = { messages: 0, bytes: 0 };

  constructor(private readonly limits: { messages: number; bytes: number }) {}

  get count(): number {
    return this.byTopic.size;
  }

  get(topic: string): BrokerMessage | undefined {
    return this.byTopic.get(topic);
  }

  /** Whether there is room for it; what the platform itself retains always has. */
  mayKeep(message: BrokerMessage): boolean {
    const { topic, payload } = message;
    const before = this.byTopic.get(topic);
    if (payload.length === 0 || !isLogged(topic)) return true;
    const { messages, bytes } = this.theirs;
    const after = bytes + weightOf(message) - (before ? weightOf(before) : 0);
    return after <= this.limits.bytes && (before !== undefined || messages < this.limits.messages);
  }

  /** An empty payload takes it back (MQTT 3.1.1, 3.3.1.3). */
  set(message: BrokerMessage): void {
    const { topic, payload } = message;
    const before = this.byTopic.get(topic);
    if (before) this.tally(before, -1);
    if (payload.length === 0) {
      this.byTopic.delete(topic);
      return;
    }
    this.tally(message, 1);
    this.byTopic.set(topic, { ...message, retain: true });
  }

  private tally(message: BrokerMessage, sign: 1 | -1): void {
    const bytes = sign * weightOf(message);
    this.bytes += bytes;
    if (!isLogged(message.topic)) return;
    this.theirs.messages += sign;
    this.theirs.bytes += bytes;
  }

  *matching(filter: string): Generator<BrokerMessage> {
    for (const message of this.looked(filter)) if (message) yield message;
  }

  /** Those that fit, and null for each that was looked at and does not. */
  *looked(filter: string): Generator<BrokerMessage | null> {
    if (!/[+#]/.test(filter)) {
      yield this.byTopic.get(filter) ?? null;
      return;
    }
    const fits = topicMatcher(filter);
    for (const [topic, message] of this.byTopic) yield fits(topic) ? message : null;
  }

  /** Those that the log has to keep: desired and reported are in the database, and $SYS is made anew. */
  *logged(): Generator<BrokerMessage> {
    for (const message of this.byTopic.values()) if (isLogged(message.topic)) yield message;
  }
}

export function isLogged(topic: string): boolean {
  return !topic.startsWith('$') && !isOfDatabase(topic);
}

function isOfDatabase(topic: string): boolean {
  const channel = parseTopic(topic)?.channel;
  return channel === 'desired' || channel === 'reported';
}
