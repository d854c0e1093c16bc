import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { digestOf } from '../core/crypto.js';
import { AiotError, hasCode } from '../core/errors.js';
import { backOffMs } from '../core/time.js';
import { blobSchema } from './api.js';
import { bodyOf } from './errors.js';
import type { Transport } from './transport.js';

export interface BlobDownload {
  /** Size of the whole blob, bytes. */
  total: number;
  /** Offset of the first byte delivered. */
  from: number;
  /** The bytes as a stream. A broken connection causes AIOT_PLATFORM_UNREACHABLE; call again with `from` to resume. */
  body: AsyncIterable<Uint8Array>;
  /** Collects the remaining bytes. A whole blob (from 0) is checked against its digest. @throws AIOT_DIGEST_MISMATCH */
  bytes(): Promise<Buffer>;
}

export function blobCalls(transport: Transport) {
  return {
    /**
     * Uploads a blob. A large blob is uploaded in pieces, so that a broken connection loses little. If the blob already
     * exists, nothing changes.
     * @throws AIOT_DIGEST_MISMATCH, AIOT_DISK_FULL
     */
    async put(digest: string, bytes: Uint8Array | Readable): Promise<{ digest: string; bytes: number }> {
      if (bytes instanceof Uint8Array && bytes.length > pieceBytes) {
        await uploadInPieces(transport, digest, bytes);
        return { digest, bytes: bytes.length };
      }
      const answer = await transport.call('PUT', `/blobs/${digest}`, {
        body: bytes,
        headers: { 'content-type': 'application/octet-stream' },
      });
      return blobSchema.parse(await answer.body.json());
    },

    /** @throws AIOT_NOT_FOUND; `bytes` of the result throws AIOT_DIGEST_MISMATCH */
    async get(digest: string, options: { from?: number; signal?: AbortSignal } = {}): Promise<BlobDownload> {
      const from = options.from ?? 0;
      const answer = await transport.call('GET', `/blobs/${digest}`, {
        ...(from > 0 ? { headers: { range: `bytes=${from}-` } } : {}),
        ...(options.signal ? { signal: options.signal } : {}),
      });
      const body = bodyOf(answer, transport.url);
      return {
        from,
        total: from + Number(answer.headers['content-length']),
        body,
        async bytes() {
          const chunks: Uint8Array[] = [];
          for await (const chunk of body) chunks.push(chunk);
          const whole = Buffer.concat(chunks);
          if (from > 0 || digestOf(whole) === digest) return whole;
          throw new AiotError('AIOT_DIGEST_MISMATCH', `expected ${digest}, got ${digestOf(whole)}`, {
            endpoint: transport.url,
            retryable: true,
          });
        },
      };
    },
  };
}

/** Size of each piece when a larger blob is uploaded, bytes. A broken connection loses at most one piece. */
export const pieceBytes = 8 * 1024 ** 2;
/** Maximum number of consecutive attempts without progress. The delays between them double, and add up to about half a minute. */
const attempts = 7;
const firstWaitMs = 500;

const tus = { 'tus-resumable': '1.0.0' };

/**
 * Uploads by the tus protocol 1.0.0. After a broken connection, the upload continues from the offset that the platform reports.
 * @throws AIOT_DIGEST_MISMATCH, AIOT_DISK_FULL, AIOT_PLATFORM_UNREACHABLE after the last retry
 */
async function uploadInPieces(transport: Transport, digest: string, bytes: Uint8Array): Promise<void> {
  let path: string | null = null;
  let offset = 0;
  for (let failures = 0; path === null || offset < bytes.length; ) {
    try {
      if (path === null) {
        path = await begin(transport, digest, bytes.length);
        offset = 0;
      } else if (failures > 0) {
        offset = await progress(transport, path);
      }
      while (offset < bytes.length) {
        offset = await send(transport, path, offset, bytes.subarray(offset, offset + pieceBytes));
        failures = 0;
      }
    } catch (error) {
      if (!mayPass(error) || ++failures === attempts) throw error;
      // The upload no longer exists on the platform, so it starts over.
      if (hasCode(error, 'AIOT_NOT_FOUND')) path = null;
      await delay(backOffMs(failures, firstWaitMs));
    }
  }
}

async function begin(transport: Transport, digest: string, length: number): Promise<string> {
  const answer = await transport.call('POST', '/uploads', {
    headers: {
      ...tus,
      'upload-length': String(length),
      'upload-metadata': `digest ${Buffer.from(digest).toString('base64')}`,
    },
  });
  await answer.body.dump();
  const id =
    String(answer.headers.location ?? '')
      .split('/')
      .at(-1) ?? '';
  return `/uploads/${encodeURIComponent(id)}`;
}

async function progress(transport: Transport, path: string): Promise<number> {
  const answer = await transport.call('HEAD', path, { headers: tus });
  await answer.body.dump();
  return Number(answer.headers['upload-offset']);
}

async function send(transport: Transport, path: string, offset: number, piece: Uint8Array): Promise<number> {
  const answer = await transport.call('PATCH', path, {
    body: piece,
    headers: {
      ...tus,
      'content-type': 'application/offset+octet-stream',
      'upload-offset': String(offset),
      'upload-checksum': `sha256 ${createHash('sha256').update(piece).digest('base64')}`,
    },
    // The platform reads the whole blob to check its digest before it responds to the last piece.
    headersTimeoutMs: 300_000,
  });
  await answer.body.dump();
  return Number(answer.headers['upload-offset']);
}

/**
 * Whether a retry may succeed: after a broken connection, a wrong offset, corruption in transit, or an upload that no longer exists on the
 * platform.
 */
function mayPass(error: unknown): boolean {
  if (!(error instanceof AiotError)) return false;
  const codes = ['AIOT_UPLOAD_OFFSET', 'AIOT_CHECKSUM_MISMATCH', 'AIOT_NOT_FOUND'];
  return error.retryable === true || codes.includes(error.code);
}
