import { AiotError, hasCode } from '../../core/errors.js';
import { type NameTemplate, nameTemplate } from '../file/template.js';
import type { OutgoingMessage, Sink, StreamOptions } from '../message.js';
import { contentTypeOf } from '../outbound/content-type.js';
import { createEachSink } from '../outbound/delivery.js';
import type { StreamUrl } from '../url.js';
import { createS3Client, type S3Client, s3Location } from './client.js';

/**
 * Writes an object for each message: `s3://bucket/faces/face{n}.png`. `{n}` continues after the highest existing number and never replaces
 * an object; numbers that another writer has used in the meantime are skipped. An object whose key has neither `{n}` nor `{id}` is
 * overwritten by each message with the same key, in order.
 * @throws AIOT_STREAM_URL, AIOT_BROKER_REFUSED, AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED
 */
export async function openS3Sink(url: StreamUrl, options: StreamOptions): Promise<Sink> {
  const place = s3Location(url, options);
  const template = nameTemplate(place.key, place.shown);
  if (place.key === '' || place.key.endsWith('/')) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${place.shown}: expected an object key, such as s3://${place.bucket}/faces/face{n}.png`,
    );
  }
  const client = await createS3Client(place, options);
  let next = 0;
  try {
    // Listing also fails immediately if the bucket is missing or inaccessible.
    next = (await highestNumber(client, template, options.signal)) + 1;
  } catch (error) {
    await client.close();
    throw error;
  }
  /** Keys by message, so that rewriting a message replaces the same object. */
  const keys = new WeakMap<OutgoingMessage, string>();
  const keyOf = (message: OutgoingMessage) => {
    const key = keys.get(message) ?? template.render(message, template.numbered ? next++ : 0);
    keys.set(message, key);
    return key;
  };

  return createEachSink({
    endpoint: place.shown,
    parallel: place.parallel,
    groupOf: keyOf,
    async send(message, signal) {
      const type = place.type ?? contentTypeOf(message.payload, message.headers);
      for (;;) {
        const outcome = await client.put(keyOf(message), message.payload, type, {
          once: template.numbered,
          signal,
        });
        if (outcome === 'put') break;
        keys.delete(message);
      }
      // The caller may write the same object again as a new message.
      keys.delete(message);
    },
    ...(options.signal ? { signal: options.signal } : {}),
    close: () => client.close(),
  });
}

/**
 * Finds the highest number among existing objects. A template without numbers requires no permission to list the
 * bucket.
 * @throws the errors of listing
 */
async function highestNumber(
  client: S3Client,
  { prefix, numberIn, numbered }: NameTemplate,
  signal: AbortSignal | undefined,
): Promise<number> {
  let highest = -1;
  try {
    for await (const objects of client.list(prefix, signal ? { signal } : {})) {
      for (const { key } of objects) highest = Math.max(highest, numberIn(key) ?? -1);
      if (!numbered) break;
    }
  } catch (error) {
    if (numbered || !hasCode(error, 'AIOT_BROKER_REFUSED')) throw error;
  }
  return highest;
}
