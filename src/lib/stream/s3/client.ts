import { createHash } from 'node:crypto';
import { AiotError } from '../../core/index.js';
import { attemptOf, createTransport, type HttpAnswer } from '../http/transport.js';
import type { StreamOptions } from '../options.js';
import { type Attempt, withRetries } from '../outbound/retry.js';
import type { S3Place } from './place.js';
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
  close(): Promise<void>;
}

/** Largest object that is read whole, bytes. */
const largestObject = 256 * 1024 * 1024;

const denied = 'Check the access key, its secret, and what it may do in this bucket.';

/** S3 over HTTP with AWS's signature 4, the body's SHA-256 signed with it. @throws AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED, AIOT_BROKER_REFUSED */
export async function createS3Client(place: S3Place, options: StreamOptions): Promise<S3Client> {
  const { AwsClient } = await import('aws4fetch');
  const { credentials, region } = place;
  const signer = new AwsClient({ ...credentials, service: 's3', region, retries: 0 });
  const transport = await createTransport(place.where, options, largestObject);
  /** The server has said that it knows no If-None-Match. */
  let unconditional = false;

  const send = async (
    call: {
      method: 'GET' | 'PUT' | 'DELETE';
      key: string;
      query?: Record<string, string>;
      headers?: Record<string, string>;
      body?: Uint8Array;
    },
    signal: AbortSignal | undefined,
    takes: readonly number[] = [],
  ): Promise<HttpAnswer> => {
    const url = place.urlOf(call.key, call.query);
    const attempt = async (): Promise<Attempt<HttpAnswer>> => {
      const { method, body } = call;
      const hash = createHash('sha256')
        .update(body ?? '')
        .digest('hex');
      const signed = await signer.sign(url, {
        method,
        headers: { ...call.headers, 'x-amz-content-sha256': hash },
      });
      try {
        const answer = await transport.call({
          url,
          method,
          headers: Object.fromEntries(signed.headers),
          ...(body ? { body } : {}),
          ...(signal ? { signal } : {}),
        });
        if (takes.includes(answer.status)) return { value: answer };
        const result = attemptOf(answer, place.where, saysOf(answer), denied);
        // The bucket, the keys to it, two writes at once: of an object to be written only 400 and 413 are its own fault.
        if ('value' in result || method !== 'PUT' || answer.status === 400 || answer.status === 413)
          return result;
        const { code, message, next, endpoint } = result.error;
        return { ...result, error: new AiotError(code, message, { next, endpoint, retryable: true }) };
      } catch (error) {
        if (error instanceof AiotError) return { error };
        throw error;
      }
    };
    return withRetries(attempt, signal);
  };

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
    close: () => transport.close(),
  };

  function saysOf(answer: HttpAnswer): string {
    const code = codeOf(answer);
    const message = elementText(answer.body.toString('utf8', 0, 4096), 'Message');
    if (code === undefined) return '';
    return `${code}${message ? ` (${message})` : ''}`;
  }
}

function codeOf(answer: HttpAnswer): string | undefined {
  return elementText(answer.body.toString('utf8', 0, 4096), 'Code');
}
