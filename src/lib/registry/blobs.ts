import type { Readable } from 'node:stream';
import { digestOf } from '../core/crypto.js';
import { AiotError } from '../core/errors.js';
import { blobSchema } from './api.js';
import { bodyOf } from './errors.js';
import type { Transport } from './transport.js';
import { pieceBytes, uploadInPieces } from './uploads.js';

export interface BlobDownload {
  /** Size of the whole blob, bytes. */
  total: number;
  /** Offset of the first byte that comes. */
  from: number;
  /** The bytes as they come; a broken connection is AIOT_PLATFORM_UNREACHABLE, resume with `from`. */
  body: AsyncIterable<Uint8Array>;
  /** Collects the rest. The whole blob (from 0) is checked against its digest. @throws AIOT_DIGEST_MISMATCH */
  bytes(): Promise<Buffer>;
}

export function blobCalls(transport: Transport) {
  return {
    /** Uploads, a large one in pieces that survive a broken connection; a blob that is there already is fine. @throws AIOT_DIGEST_MISMATCH, AIOT_DISK_FULL */
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

    /** @throws AIOT_NOT_FOUND */
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
