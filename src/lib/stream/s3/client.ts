import { createTransport } from '../http/transport.js';
import type { StreamOptions } from '../options.js';
import { type S3Large, s3Large } from './large.js';
import type { S3Place } from './place.js';
import { s3Requests } from './requests.js';
import { elementsOf, elementText } from './xml.js';

export interface S3Object {
  key: string;
  bytes: number;
  /** ms since 1970 */
  modified: number;
}

export interface S3Client {
  /** @param once fails with `taken` when there is an object of this key already */
  put(
    key: string,
    body: Uint8Array,
    type: string,
    options: { once: boolean; signal?: AbortSignal },
  ): Promise<'put' | 'taken'>;
  get(key: string, signal?: AbortSignal): Promise<{ body: Buffer; type: string | undefined }>;
  remove(key: string, signal?: AbortSignal): Promise<void>;
  /** Objects whose keys begin so, in the order of their keys, page by page. */
  list(prefix: string, options?: { after?: string; signal?: AbortSignal }): AsyncGenerator<S3Object[]>;
  /** Objects of any size. */
  large: S3Large;
  close(): Promise<void>;
}

/** Largest object that is read whole, bytes. */
const largestObject = 256 * 1024 * 1024;

/** @throws AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED, AIOT_BROKER_REFUSED */
export async function createS3Client(place: S3Place, options: StreamOptions): Promise<S3Client> {
  const transport = await createTransport(place.where, options, largestObject);
  const requests = await s3Requests(place, transport);
  const { send } = requests;
  /** The server has said that it knows no If-None-Match. */
  let unconditional = false;

  return {
    async put(key, body, type, { once, signal }) {
      const conditional = once && !unconditional;
      const headers = { 'content-type': type, ...(conditional ? { 'if-none-match': '*' } : {}) };
      const answer = await send({ method: 'PUT', key, headers, body }, signal, conditional ? [412, 501] : []);
      if (answer.status === 501) {
        unconditional = true;
        await send({ method: 'PUT', key, headers: { 'content-type': type }, body }, signal);
      }
      if (answer.status !== 412) return 'put';
      // It may be our own, of an attempt whose answer was lost.
      const there = await send({ method: 'GET', key }, signal, [404]);
      return there.status !== 404 && there.body.equals(body) ? 'put' : 'taken';
    },
    async get(key, signal) {
      const answer = await send({ method: 'GET', key }, signal);
      const type = answer.headers['content-type'];
      return { body: answer.body, type: Array.isArray(type) ? type[0] : type };
    },
    async remove(key, signal) {
      await send({ method: 'DELETE', key }, signal);
    },
    async *list(prefix, { after, signal } = {}) {
      let token: string | undefined;
      do {
        const query = {
          'list-type': '2',
          prefix,
          ...(token === undefined
            ? after
              ? { 'start-after': after }
              : {}
            : { 'continuation-token': token }),
        };
        const { body } = await send({ method: 'GET', key: '', query }, signal);
        const text = body.toString('utf8');
        yield elementsOf(text, 'Contents').map((each) => ({
          key: elementText(each, 'Key') ?? '',
          bytes: Number(elementText(each, 'Size') ?? 0),
          modified: Date.parse(elementText(each, 'LastModified') ?? '') || 0,
        }));
        token =
          elementText(text, 'IsTruncated') === 'true'
            ? elementText(text, 'NextContinuationToken')
            : undefined;
      } while (token !== undefined);
    },
    large: s3Large(place, requests),
    close: () => transport.close(),
  };
}
