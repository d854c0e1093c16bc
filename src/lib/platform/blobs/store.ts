import { AiotError } from '../../core/index.js';
import type { Sync } from '../sync.js';
import { openFolder } from './folder.js';
import type { BlobStore } from './port.js';

export * from './port.js';

/**
 * Opens the folder, or the bucket of `s3://BUCKET[/PREFIX]?endpoint=…&region=…` with the folder for what is on its way there.
 * @throws AIOT_USAGE (another scheme), AIOT_STREAM_URL, AIOT_BLOBS_UNAVAILABLE
 */
export async function openBlobs(folder: string, sync?: Sync, url?: string): Promise<BlobStore> {
  if (url === undefined) return openFolder(folder, sync);
  if (!url.startsWith('s3://')) {
    throw new AiotError('AIOT_USAGE', 'expected --blobs s3://BUCKET, got a URL of another kind');
  }
  const { openS3 } = await import('./s3.js');
  return openS3(url, folder);
}
