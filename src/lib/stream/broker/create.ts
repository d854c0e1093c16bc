import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { readText } from '../../core/files.js';
import { parseYaml } from '../../core/yaml.js';
import type { StreamOptions } from '../message.js';
import { openAdmin } from '../open.js';
import { fillVariables } from '../route/load.js';
import { byteSize, duration } from '../route/schema.js';
import { parseStreamUrl } from '../url.js';
import type { TopicSpec } from './admin.js';

export const createdSchema = z.object({
  /** Address of the broker, without credentials. */
  endpoint: z.string(),
  dryRun: z.boolean(),
  topics: z.array(
    z.object({
      name: z.string(),
      did: z.enum(['created', 'changed', 'unchanged']),
      /** The changes, each such as `partitions 1 → 3`. */
      changes: z.array(z.string()),
    }),
  ),
});

export type Created = z.output<typeof createdSchema>;

interface CreateOptions extends StreamOptions {
  /** Path of a YAML file in the format described in docs/how-to/brokers.md. */
  file: string;
  /** The broker's address; overrides the address in the file. */
  at?: string;
  dryRun?: boolean;
}

/**
 * Creates the topics and streams described in a file, and updates existing ones where possible. The whole file is
 * validated first.
 * @throws AIOT_STREAM_SPEC_INVALID, AIOT_FILE_NOT_FOUND, AIOT_STREAM_SCHEME, and the broker's errors
 */
export async function createTopics(options: CreateOptions): Promise<Created> {
  const { file, dryRun = false } = options;
  const { at, topics } = parseCreateFile(await readText(file), file);
  const url = options.at ?? at;
  if (url === undefined) {
    throw new AiotError('AIOT_STREAM_SPEC_INVALID', `${file}: expected the broker's address`, {
      next: 'Set it in the file (at: nats://HOST), or pass it with --at.',
    });
  }
  const { endpoint } = parseStreamUrl(url);
  const admin = await openAdmin(url, options);
  try {
    if (!admin.create) {
      throw new AiotError(
        'AIOT_STREAM_SCHEME',
        `${endpoint}: this kind of broker creates topics automatically`,
        {
          next: 'Only Kafka topics and NATS streams can be created.',
        },
      );
    }
    const made: Created['topics'] = [];
    for (const topic of topics) made.push(await admin.create(topic, { dryRun }));
    return { endpoint: admin.endpoint, dryRun, topics: made };
  } finally {
    await admin.close();
  }
}

/** @throws AIOT_STREAM_SPEC_INVALID (all errors, each with file:line:column) */
export function parseCreateFile(text: string, file: string, environment = process.env): CreateFile {
  return parseYaml(text, file, createFileSchema, {
    code: 'AIOT_STREAM_SPEC_INVALID',
    prepare: (given) => fillVariables(given, { environment }),
    check: ({ topics }) => {
      const names = topics.map(({ name }) => name);
      return names.flatMap((name, index) =>
        names.indexOf(name) === index
          ? []
          : [{ path: ['topics', index, 'name'], message: `${name} is listed twice` }],
      );
    },
  });
}

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

/** The input file of `aiot stream create`. */
const createFileSchema = z.strictObject({
  /** The broker's address. */
  at: z.string().min(1).optional(),
  topics: z.array(topicSchema).min(1, 'expected at least one topic or stream'),
});

type CreateFile = z.output<typeof createFileSchema>;

function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}
