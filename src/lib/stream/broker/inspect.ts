import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import type { StreamOptions } from '../message.js';
import { openAdmin } from '../open.js';
import type { StreamAdmin } from './admin.js';

const optionalCount = z.number().optional();

export const topicsSchema = z.object({
  endpoint: z.string(),
  topics: z.array(
    z.object({
      topic: z.string(),
      /** Name of the JetStream stream that stores the topic. */
      stream: z.string().optional(),
      messages: optionalCount,
      bytes: optionalCount,
      partitions: optionalCount,
      /** Messages per second, measured while listening. */
      rate: optionalCount,
      /** Bytes per second, measured while listening. */
      byteRate: optionalCount,
      /** Arrival time of the last message, ms since 1970. */
      last: optionalCount,
    }),
  ),
});

export type Topics = z.output<typeof topicsSchema>;

export const lagSchema = z.object({
  endpoint: z.string(),
  /** Total lag of all groups, in messages. */
  lag: z.number(),
  groups: z.array(
    z.object({
      group: z.string(),
      topic: z.string(),
      partition: optionalCount,
      /** Offset of the next message that the group will read. */
      position: z.number(),
      /** Offset of the next message that the broker will write. */
      end: z.number(),
      lag: z.number(),
      /** Number of messages that were delivered but not acknowledged yet (JetStream). */
      pending: optionalCount,
      members: optionalCount,
    }),
  ),
});

export type Lag = z.output<typeof lagSchema>;

/**
 * Lists a broker's topics: topics that the broker lists, and topics on which messages arrive within `listenMs`.
 * @throws AIOT_STREAM_SCHEME, AIOT_BROKER_*
 */
export async function listTopics(
  url: string,
  { listenMs, ...options }: StreamOptions & { listenMs: number },
): Promise<Topics> {
  return asking(url, options, async (admin) => {
    const { signal } = options;
    const topics = await admin.topics({ listenMs, ...(signal ? { signal } : {}) });
    return { endpoint: admin.endpoint, topics };
  });
}

/** Reports how far consumers are behind. @throws AIOT_STREAM_SCHEME (a broker without a log), AIOT_STREAM_TOPIC_NOT_FOUND, AIOT_BROKER_* */
export async function readLag(url: string, options: StreamOptions): Promise<Lag> {
  return asking(url, options, async (admin) => {
    if (!admin.lag) {
      throw new AiotError('AIOT_STREAM_SCHEME', `${admin.endpoint} stores no log, so consumers have no lag`, {
        next: 'Only Kafka groups and JetStream consumers have a lag.',
      });
    }
    const groups = await admin.lag(options.group === undefined ? {} : { group: options.group });
    const lag = groups.reduce((sum, row) => sum + row.lag, 0);
    return { endpoint: admin.endpoint, lag, groups };
  });
}

async function asking<T>(
  url: string,
  options: StreamOptions,
  ask: (admin: StreamAdmin) => Promise<T>,
): Promise<T> {
  const admin = await openAdmin(url, options);
  try {
    return await ask(admin);
  } finally {
    await admin.close();
  }
}
