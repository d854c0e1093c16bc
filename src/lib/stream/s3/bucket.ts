import { withKeptCredentials } from '../credentials/index.js';
import type { StreamOptions } from '../options.js';
import { parseStreamUrl } from '../url.js';
import { createS3Client, type S3Client } from './client.js';
import { s3Place } from './place.js';

export interface Bucket extends S3Client {
  /** What the URL says behind the bucket. */
  prefix: string;
  /** For messages: no credentials. */
  where: string;
}

/**
 * The bucket that a URL names, for what is more than messages: `s3://BUCKET[/PREFIX]?endpoint=…&region=…`. Tells at once when
 * it is not there, or not ours.
 * @throws AIOT_STREAM_URL, AIOT_BROKER_REFUSED, AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED
 */
export async function openBucket(url: string, options: StreamOptions = {}): Promise<Bucket> {
  const parts = parseStreamUrl(url);
  const place = s3Place(parts, await withKeptCredentials(parts, options));
  const client = await createS3Client(place, options);
  try {
    await client.list(place.key).next();
  } catch (error) {
    await client.close();
    throw error;
  }
  return { ...client, prefix: place.key, where: place.where };
}
