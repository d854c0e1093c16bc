import * as z from 'zod';
import type { Decoder } from '../decode/values.js';
import type { Shown } from './tail.js';

/**
 * Maximum numbers of topics and fields, which could otherwise be unlimited. Further topics are counted together; further fields
 * are not counted.
 */
const mostTopics = 1000;
const mostFields = 50;
const others = '(others)';

const spread = { least: z.number(), mean: z.number(), most: z.number() };

export const streamStatisticsSchema = z.object({
  /** Time from the first message until these statistics were computed, s. */
  seconds: z.number(),
  messages: z.int(),
  bytes: z.int(),
  /** Messages per second. */
  rate: z.number(),
  /** Bytes per second. */
  byteRate: z.number(),
  /** Number of messages dropped because they arrived too fast. */
  dropped: z.int(),
  /** Topics, sorted by number of messages in descending order. */
  topics: z.array(
    z.object({
      topic: z.string(),
      messages: z.int(),
      rate: z.number(),
      /** Sizes of single messages, bytes. */
      bytes: z.object(spread),
      /** Statistics on the numbers in the payloads, by field name. */
      fields: z.record(z.string(), z.object({ count: z.int(), ...spread })),
    }),
  ),
});
export type StreamStatistics = z.output<typeof streamStatisticsSchema>;

class Spread {
  count = 0;
  private sum = 0;
  private least = Number.POSITIVE_INFINITY;
  private most = Number.NEGATIVE_INFINITY;

  add(value: number): void {
    this.count++;
    this.sum += value;
    if (value < this.least) this.least = value;
    if (value > this.most) this.most = value;
  }

  get result() {
    return { least: this.least, mean: this.sum / this.count, most: this.most };
  }

  get total() {
    return this.sum;
  }
}

interface Topic {
  bytes: Spread;
  fields: Map<string, Spread>;
}

/** Counts messages by topic, and the numbers at the top level of their payloads. */
export function createStatistics(decode: Decoder, now: () => number = () => performance.now()) {
  const topics = new Map<string, Topic>();
  let first: number | undefined;
  const topicOf = (name: string): Topic => {
    const key = topics.has(name) || topics.size < mostTopics ? name : others;
    const known = topics.get(key);
    if (known) return known;
    const made: Topic = { bytes: new Spread(), fields: new Map() };
    topics.set(key, made);
    return made;
  };
  return {
    add(batch: readonly Shown[]): void {
      first ??= now();
      for (const shown of batch) {
        const { bytes, fields } = topicOf(shown.message.topic);
        bytes.add(shown.message.payload.length);
        const value = shown.value === undefined ? decode(shown.message) : shown.value;
        for (const [name, number] of numbersOf(value)) {
          const known = fields.get(name);
          if (known) known.add(number);
          else if (fields.size < mostFields) {
            const made = new Spread();
            made.add(number);
            fields.set(name, made);
          }
        }
      }
    },
    result(dropped: number): StreamStatistics {
      const seconds = first === undefined ? 0 : (now() - first) / 1000;
      const rate = (count: number) => (seconds > 0 ? count / seconds : 0);
      const all = [...topics].sort(([, one], [, other]) => other.bytes.count - one.bytes.count);
      const messages = all.reduce((sum, [, { bytes }]) => sum + bytes.count, 0);
      const bytes = all.reduce((sum, [, each]) => sum + each.bytes.total, 0);
      return {
        seconds,
        messages,
        bytes,
        rate: rate(messages),
        byteRate: rate(bytes),
        dropped,
        topics: all.map(([topic, each]) => ({
          topic,
          messages: each.bytes.count,
          rate: rate(each.bytes.count),
          bytes: each.bytes.result,
          fields: Object.fromEntries(
            [...each.fields].map(([name, field]) => [name, { count: field.count, ...field.result }]),
          ),
        })),
      };
    },
  };
}

/** The numbers in a payload, by field name. A payload that is only a number becomes the field `value`. */
function numbersOf(value: unknown): [string, number][] {
  if (typeof value === 'number') return [['value', value]];
  if (typeof value !== 'object' || value === null || Array.isArray(value) || ArrayBuffer.isView(value))
    return [];
  return Object.entries(value).filter((pair): pair is [string, number] => typeof pair[1] === 'number');
}
