import { parseTopic } from '../../device/protocol/codec.js';
import { topicMatcher } from './topics.js';
import { type BrokerMessage, hasExpired, weightOf } from './wire.js';

/** The last retained message of each topic. */
export class Retained {
  private readonly byTopic = new Map<string, BrokerMessage>();
  bytes = 0;
  /** Messages retained by clients; the platform's own messages do not count against the limit. */
  private readonly theirs = { messages: 0, bytes: 0 };

  constructor(
    private readonly limits: { messages: number; bytes: number },
    /** ms since 1970 */
    private readonly now: () => number,
  ) {}

  get count(): number {
    return this.byTopic.size;
  }

  get(topic: string): BrokerMessage | undefined {
    return this.current(this.byTopic.get(topic)) ?? undefined;
  }

  private current(message: BrokerMessage | undefined): BrokerMessage | null {
    return message === undefined || hasExpired(message, this.now()) ? null : message;
  }

  /** Deletes expired messages. */
  sweep(): void {
    const now = this.now();
    for (const [topic, message] of this.byTopic) {
      if (!hasExpired(message, now)) continue;
      this.tally(message, -1);
      this.byTopic.delete(topic);
    }
  }

  /** Whether there is room for the message; the platform's own messages always fit. */
  mayKeep(message: BrokerMessage): boolean {
    const { topic, payload } = message;
    const before = this.byTopic.get(topic);
    if (payload.length === 0 || !isLogged(topic)) return true;
    const { messages, bytes } = this.theirs;
    const after = bytes + weightOf(message) - (before ? weightOf(before) : 0);
    return after <= this.limits.bytes && (before !== undefined || messages < this.limits.messages);
  }

  /** Retains a message. An empty payload deletes the topic's retained message (MQTT 3.1.1, 3.3.1.3). */
  set(message: BrokerMessage): void {
    const { topic, payload, qos, properties, expiresAt } = message;
    const before = this.byTopic.get(topic);
    if (before) this.tally(before, -1);
    if (payload.length === 0) {
      this.byTopic.delete(topic);
      return;
    }
    this.tally(message, 1);
    // Copied, because `message` may cache an encoding with a different retain flag.
    this.byTopic.set(topic, { topic, payload, qos, retain: true, properties, expiresAt });
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

  /** Yields matching messages, and null for each examined message that does not match. */
  *looked(filter: string): Generator<BrokerMessage | null> {
    if (!/[+#]/.test(filter)) {
      yield this.current(this.byTopic.get(filter));
      return;
    }
    const fits = topicMatcher(filter);
    for (const [topic, message] of this.byTopic) yield fits(topic) ? this.current(message) : null;
  }

  /**
   * Messages that the log must store. Excludes desired, settings and reported, which are in the database, and $SYS,
   * which is regenerated.
   */
  *logged(): Generator<BrokerMessage> {
    for (const message of this.byTopic.values()) if (isLogged(message.topic)) yield message;
  }
}

export function isLogged(topic: string): boolean {
  return !topic.startsWith('$') && !isOfDatabase(topic);
}

function isOfDatabase(topic: string): boolean {
  const channel = parseTopic(topic)?.channel;
  return channel === 'desired' || channel === 'settings' || channel === 'reported';
}
