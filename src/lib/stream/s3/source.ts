import type { Delivery, Source, StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import { createS3Client, s3Location } from './client.js';

/** Number of objects fetched concurrently. */
const ahead = 8;

/**
 * Reads the objects whose keys have the URL's prefix, in the order of their keys, and ends after the last one. The key becomes the topic,
 * the object becomes the payload, and its last modification becomes the time. `from: {time}` skips objects written earlier.
 * @throws AIOT_STREAM_URL, AIOT_BROKER_REFUSED; while reading AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED
 */
export async function openS3Source(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const place = s3Location(url, options);
  const client = await createS3Client(place, options);
  const ending = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, ending.signal]) : ending.signal;
  const since = typeof options.from === 'object' ? options.from.time : 0;
  const settle = () => {};
  return {
    endpoint: place.shown,
    dropped: 0,
    async *[Symbol.asyncIterator](): AsyncGenerator<Delivery[]> {
      try {
        for await (const page of client.list(place.key, { signal })) {
          const objects = page.filter(({ modified, key }) => modified >= since && !key.endsWith('/'));
          for (let i = 0; i < objects.length; i += ahead) {
            const batch = await Promise.all(
              objects.slice(i, i + ahead).map(async ({ key, modified }): Promise<Delivery> => {
                const { body, type } = await client.get(key, signal);
                return {
                  message: {
                    topic: key,
                    payload: body,
                    time: modified,
                    source: place.shown,
                    ...(type ? { headers: [['content-type', type] as const] } : {}),
                  },
                  ack: settle,
                  nack: settle,
                };
              }),
            );
            if (ending.signal.aborted) return;
            yield batch;
          }
        }
      } catch (error) {
        if (!ending.signal.aborted) throw error;
      }
    },
    async close() {
      ending.abort();
      await client.close();
    },
  };
}
