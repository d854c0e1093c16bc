import type { Readable } from 'node:stream';
import { AiotError } from '../../core/index.js';
import type { S3Place } from './place.js';
import type { S3Requests } from './requests.js';
import { elementText } from './xml.js';

/** Objects that do not fit into memory, whole or at once. */
export interface S3Large {
  /** Bytes of an object; null = there is none. */
  size(key: string): Promise<number | null>;
  /**
   * The object, or these bytes of it (inclusive offsets), as they come. What comes short of what was said ends in an error.
   * @throws AIOT_NOT_FOUND
   */
  open(key: string, range?: { first: number; last: number }): Promise<{ body: Readable; bytes: number }>;
  /** In parts; an upload that fails leaves nothing behind. It is there when this resolves, and not before. */
  putParts(key: string, parts: AsyncIterable<Uint8Array>): Promise<void>;
}

/** @throws AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED, AIOT_BROKER_REFUSED */
export function s3Large(place: S3Place, requests: S3Requests): S3Large {
  const { where } = place;
  return {
    async size(key) {
      const answer = await requests.send({ method: 'HEAD', key }, undefined, [404]);
      return answer.status === 404 ? null : Number(answer.headers['content-length']);
    },

    async open(key, range) {
      const headers: Record<string, string> = range ? { range: `bytes=${range.first}-${range.last}` } : {};
      const {
        status,
        headers: said,
        body,
      } = await requests.open({ method: 'GET', key, headers }, undefined, [404]);
      const fits = status === 404 || status === (range ? 206 : 200);
      // Destroyed before its end it says so, to whoever listens.
      body.on('error', () => {});
      if (status !== 404 && fits) return { body, bytes: Number(said['content-length']) };
      body.destroy();
      if (fits) throw new AiotError('AIOT_NOT_FOUND', `${where} has no object ${key}`);
      throw new AiotError('AIOT_STREAM_REFUSED', `${where} answered ${status} to a range of bytes`, {
        endpoint: where,
      });
    },

    async putParts(key, parts) {
      const { body } = await requests.send({ method: 'POST', key, query: { uploads: '' } }, undefined);
      const uploadId = elementText(body.toString('utf8'), 'UploadId') ?? '';
      const etags: string[] = [];
      try {
        for await (const part of parts) {
          const query = { partNumber: String(etags.length + 1), uploadId };
          const { headers } = await requests.send({ method: 'PUT', key, query, body: part }, undefined);
          etags.push(String(headers.etag ?? ''));
        }
        const answer = await requests.send(
          { method: 'POST', key, query: { uploadId }, body: Buffer.from(completion(etags)) },
          undefined,
        );
        // A failure that comes late is told in an answer that began with 200 (CompleteMultipartUpload, AWS's API reference).
        const code = elementText(answer.body.toString('utf8'), 'Code');
        if (code === undefined) return;
        throw new AiotError('AIOT_STREAM_REFUSED', `${where} did not put the parts together: ${code}`, {
          endpoint: where,
          retryable: true,
        });
      } catch (error) {
        await requests.send({ method: 'DELETE', key, query: { uploadId } }, undefined, [404]).catch(() => {});
        throw error;
      }
    },
  };
}

function completion(etags: string[]): string {
  const parts = etags.map(
    (etag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${escaped(etag)}</ETag></Part>`,
  );
  return `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
