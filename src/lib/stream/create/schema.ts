import { z } from 'zod';
import type { TopicSpec } from '../admin.js';
import { byteSize, duration } from '../route/fields.js';

const name = z.string().min(1, 'expected a name').max(249);
const count = z.int('expected a whole number').min(1, 'expected a whole number of 1 or more');
const size = z.union([count, byteSize]);

const consumerSchema = z.strictObject({
  name,
  subject: z.string().min(1).optional(),
  ackWait: duration.optional(),
  maxAckPending: count.optional(),
});

const topicSchema = z
  .strictObject({
    name,
    partitions: count.optional(),
    replicas: count.optional(),
    subjects: z.array(z.string().min(1)).min(1).optional(),
    storage: z.enum(['file', 'memory']).optional(),
    retention: z.enum(['limits', 'interest', 'workqueue']).optional(),
    discard: z.enum(['old', 'new']).optional(),
    maxAge: duration.optional(),
    maxBytes: size.optional(),
    maxMessages: count.optional(),
    duplicateWindow: duration.optional(),
    consumers: z.array(consumerSchema).optional(),
    config: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String)).optional(),
  })
  .transform(({ maxAge, duplicateWindow, consumers, ...rest }): TopicSpec => {
    const spec = {
      ...rest,
      maxAgeMs: maxAge,
      duplicateWindowMs: duplicateWindow,
      consumers: consumers?.map(({ ackWait, ...consumer }) => defined({ ...consumer, ackWaitMs: ackWait })),
    };
    return defined(spec) as TopicSpec;
  });

/** What `aiot stream create` reads. */
export const createFileSchema = z.strictObject({
  /** The broker's address. */
  at: z.string().min(1).optional(),
  topics: z.array(topicSchema).min(1, 'expected at least one topic or stream'),
});
export type CreateFile = z.output<typeof createFileSchema>;

function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}
