import { createHash } from 'node:crypto';
import { open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { AiotError, hasCode } from '../../core/errors.js';
import { type Bucket, openBucket } from '../../stream/s3/client.js';
import { storageError } from '../errors.js';
import { openIncoming } from './folder.js';
import { type BlobRange, type BlobStore, damagedBlob, hexOf, noSuchBlob } from './store.js';

/** Size of multipart upload parts, bytes. S3 accepts at most 10,000 parts; all but the last must have at least 5 MiB. */
const partBytes = 8 * 1024 ** 2;

/**
 * One object per blob, `PREFIX/sha256/abcd…`. Uploads are held in a local file until their digest is verified. A blob
 * is acknowledged once S3 has confirmed that the whole blob is stored. S3's ETag is not trusted as evidence of the
 * contents: every complete read is checked.
 * @throws AIOT_STREAM_URL, AIOT_BLOBS_UNAVAILABLE
 */
export async function openS3(url: string, spool: string): Promise<BlobStore> {
  const bucket = await told(() => openBucket(url));
  const incoming = await openIncoming(join(spool, 'incoming'));
  const base = `${bucket.prefix === '' ? '' : `${bucket.prefix.replace(/\/+$/, '')}/`}sha256/`;
  const keyOf = (digest: string) => base + hexOf(digest);

  const adopt: BlobStore['adopt'] = async (digest, path) => {
    const { size: bytes } = await stat(path);
    await told(() => upload(bucket, keyOf(digest), { digest, path, bytes }));
    await rm(path, { force: true });
    return { digest, bytes };
  };

  return {
    adopt,
    async put(digest, source) {
      hexOf(digest);
      const { path } = await incoming.receive(digest, source).catch((error: unknown) => {
        throw storageError(error);
      });
      try {
        return await adopt(digest, path);
      } finally {
        await rm(path, { force: true });
      }
    },
    size: (digest) => told(() => bucket.large.size(keyOf(digest))),
    stream(digest, range) {
      const key = keyOf(digest);
      return Readable.from(read(bucket, key, digest, range), { objectMode: false });
    },
    async bytes(digest) {
      const chunks: Buffer[] = [];
      for await (const chunk of read(bucket, keyOf(digest), digest)) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
    // Nothing to do, because reads are checked during delivery, and the last bytes are sent only after the check.
    ready: async (digest) => void hexOf(digest),
    async verify(digest, pace) {
      let bytes = 0;
      for await (const chunk of read(bucket, keyOf(digest), digest)) {
        bytes += chunk.length;
        await pace?.(chunk.length);
      }
      return bytes;
    },
    remove: (digest) => told(() => bucket.remove(keyOf(digest))),
    async *list() {
      for await (const page of bucket.list(base)) {
        for (const { key, bytes, modified } of page) {
          const hex = key.slice(base.length);
          if (/^[0-9a-f]{64}$/.test(hex)) yield { digest: `sha256:${hex}`, bytes, at: modified };
        }
      }
    },
    close: () => bucket.close(),
  };
}

interface LocalFile {
  digest: string;
  path: string;
  bytes: number;
}

/** Uploads a file. An existing small object is overwritten; an existing large object is kept if it is intact. */
async function upload(bucket: Bucket, key: string, { digest, path, bytes }: LocalFile): Promise<void> {
  if (bytes <= partBytes) {
    const body = await readFile(path);
    const type = 'application/octet-stream';
    const outcome = await bucket.put(key, body, type, { once: true });
    if (outcome === 'taken') await bucket.put(key, body, type, { once: false });
  } else if ((await bucket.large.size(key)) !== bytes || !(await isWhole(bucket, key, digest))) {
    await bucket.large.putParts(key, partsOf(path));
  }
  const there = await bucket.large.size(key);
  if (there === bytes) return;
  throw new AiotError(
    'AIOT_BLOBS_UNAVAILABLE',
    `${bucket.where} stores ${there ?? 'none'} of ${bytes} bytes`,
    {
      endpoint: bucket.where,
    },
  );
}

async function* partsOf(path: string): AsyncGenerator<Buffer> {
  const file = await open(path);
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(partBytes), 0, partBytes);
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
      if (bytesRead < partBytes) return;
    }
  } finally {
    await file.close();
  }
}

async function isWhole(bucket: Bucket, key: string, digest: string): Promise<boolean> {
  try {
    for await (const _ of read(bucket, key, digest)) {
      // The stream is consumed only to compute its digest.
    }
    return true;
  } catch (error) {
    if (hasCode(error, 'AIOT_BLOB_DAMAGED')) return false;
    throw error;
  }
}

/**
 * The last bytes are sent only once all bytes are verified, so that a reader of the whole blob cannot mistake other
 * bytes for the blob.
 */
async function* read(bucket: Bucket, key: string, digest: string, range?: BlobRange): AsyncGenerator<Buffer> {
  const { body, bytes } = await told(() => bucket.large.open(key, range)).catch((error: unknown) => {
    throw isMissing(error) ? noSuchBlob(digest) : error;
  });
  const hash = createHash('sha256');
  let held: Buffer | undefined;
  let got = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      got += chunk.length;
      if (held) yield held;
      held = chunk;
      if (!range) hash.update(chunk);
    }
  } catch (error) {
    throw unavailable(error, bucket.where);
  } finally {
    body.destroy();
  }
  if (got !== bytes || (range && got !== range.last - range.first + 1)) {
    throw damagedBlob(digest, `${bucket.where} returned ${got} of ${bytes} bytes`);
  }
  const sum = range ? digest : `sha256:${hash.digest('hex')}`;
  if (sum !== digest) throw damagedBlob(digest, `the object in ${bucket.where} has the digest ${sum}`);
  if (held) yield held;
}

async function told<T>(task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (isMissing(error) || hasCode(error, 'AIOT_STREAM_URL')) throw error;
    throw unavailable(error, 's3');
  }
}

function isMissing(error: unknown): boolean {
  return hasCode(error, 'AIOT_NOT_FOUND');
}

function unavailable(error: unknown, where: string): unknown {
  if (hasCode(error, 'AIOT_BLOBS_UNAVAILABLE')) return error;
  const told = error instanceof AiotError ? error : null;
  const { message } = told ?? {
    message: `${where}: ${error instanceof Error ? error.message : String(error)}`,
  };
  return new AiotError('AIOT_BLOBS_UNAVAILABLE', message, {
    cause: error,
    retryable: told?.retryable ?? true,
    ...(told?.endpoint ? { endpoint: told.endpoint } : {}),
  });
}
