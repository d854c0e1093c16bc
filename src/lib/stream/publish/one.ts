import { z } from 'zod';
import { untilAborted } from '../../core/index.js';
import { openSink } from '../open.js';
import type { StreamOptions } from '../options.js';
import { shownUrl } from '../secrets.js';
import { parseStreamUrl } from '../url.js';
import { pathless } from './topics.js';

export interface PublishOptions extends Omit<StreamOptions, 'qos'> {
  /** Where to, with the topic in it. */
  url: string;
  payload: Uint8Array;
  /** Default 1. */
  qos?: 0 | 1 | 2;
  retain?: boolean;
  signal?: AbortSignal;
}

export const publishedSchema = z.object({
  /** Where it can be read, without credentials. */
  url: z.string(),
  topic: z.string(),
  bytes: z.int(),
  qos: z.int(),
  retain: z.boolean(),
  /** The far side has said that it has the message; at QoS 0 nobody says so. */
  acknowledged: z.boolean(),
});
export type Published = z.output<typeof publishedSchema>;

/** Publishes one message and waits for its acknowledgement. @throws what opening and writing throw */
export async function publishMessage(options: PublishOptions): Promise<Published> {
  const { url, payload, qos = 1, retain = false, signal } = options;
  signal?.throwIfAborted();
  const { scheme, path } = parseStreamUrl(url);
  // A path of a file, a page or a bucket is no topic, but lines and objects have one.
  const topic = pathless.has(scheme) ? 'aiot' : path;
  const sink = await openSink(url, options);
  try {
    const written = sink.write([{ topic, payload, qos, retain }]);
    await untilAborted(written, signal);
  } finally {
    await sink.close();
  }
  return {
    url: scheme === 'file' ? `file:${sink.endpoint}` : shownUrl(url),
    topic,
    bytes: payload.length,
    qos,
    retain,
    acknowledged: qos > 0 || scheme === 'file',
  };
}
