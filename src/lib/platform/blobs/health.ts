import { hasCode } from '../../core/index.js';
import type { BlobStore } from './port.js';

/** Which blobs were found to be damaged, by whoever read them. */
export class BlobHealth {
  private readonly found = new Map<string, number>();

  /** @param told called once for each that is found (`damaged`), and when it is whole again or gone */
  constructor(
    private readonly now: () => number,
    private readonly told: (digest: string, is: 'damaged' | 'whole') => void = () => {},
  ) {}

  /** Digests, in the order in which they were found. */
  get damaged(): readonly string[] {
    return [...this.found.keys()];
  }

  note(digest: string): void {
    if (this.found.has(digest)) return;
    this.found.set(digest, this.now());
    this.told(digest, 'damaged');
  }

  /** It was put again, is gone, or was read whole and is right. */
  clear(digest: string): void {
    if (this.found.delete(digest)) this.told(digest, 'whole');
  }
}

/** The same store, where each blob that is found to be damaged is noted, and each that is whole again is not any longer. */
export function watchedBlobs(blobs: BlobStore, health: BlobHealth): BlobStore {
  const noting = (digest: string) => (error: unknown) => {
    if (hasCode(error, 'AIOT_BLOB_DAMAGED')) health.note(digest);
    throw error;
  };
  const clearing =
    (digest: string) =>
    <T>(result: T): T => {
      health.clear(digest);
      return result;
    };
  return {
    ...blobs,
    put: (digest, source) => blobs.put(digest, source).then(clearing(digest)),
    adopt: (digest, path) => blobs.adopt(digest, path).then(clearing(digest)),
    remove: (digest) => blobs.remove(digest).then(clearing(digest)),
    ready: (digest) => blobs.ready(digest).catch(noting(digest)),
    bytes: (digest) => blobs.bytes(digest).then(clearing(digest), noting(digest)),
    verify: (digest, pace) => blobs.verify(digest, pace).then(clearing(digest), noting(digest)),
    stream(digest, range) {
      const reading = blobs.stream(digest, range);
      reading.once('error', (error) => {
        if (hasCode(error, 'AIOT_BLOB_DAMAGED')) health.note(digest);
      });
      return reading;
    },
  };
}
