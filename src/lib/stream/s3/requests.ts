import { createHash } from 'node:crypto';
import { AiotError } from '../../core/index.js';
import { attemptOf, type HttpAnswer, type HttpStream, type HttpTransport } from '../http/transport.js';
import { type Attempt, withRetries } from '../outbound/retry.js';
import type { S3Place } from './place.js';
import { elementText } from './xml.js';

export interface S3Call {
  method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  key: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: Uint8Array;
}

export interface S3Requests {
  /** Tried again while that may help. @param takes statuses besides 2xx that are an answer too */
  send(call: S3Call, signal: AbortSignal | undefined, takes?: readonly number[]): Promise<HttpAnswer>;
  /** The same with the body still to come. */
  open(call: S3Call, signal: AbortSignal | undefined, takes?: readonly number[]): Promise<HttpStream>;
}

const denied = 'Check the access key, its secret, and what it may do in this bucket.';

/**
 * S3 over HTTP with AWS's signature 4, the body's SHA-256 signed with it.
 * @throws AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED, AIOT_BROKER_REFUSED
 */
export async function s3Requests(place: S3Place, transport: HttpTransport): Promise<S3Requests> {
  const { AwsClient } = await import('aws4fetch');
  const { credentials, region, where } = place;
  const signer = new AwsClient({ ...credentials, service: 's3', region, retries: 0 });

  const signed = async ({ method, key, query, headers, body }: S3Call) => {
    const url = place.urlOf(key, query);
    const hash = createHash('sha256')
      .update(body ?? '')
      .digest('hex');
    const request = await signer.sign(url, {
      method,
      headers: { ...headers, 'x-amz-content-sha256': hash },
    });
    return { url, method, headers: Object.fromEntries(request.headers), ...(body ? { body } : {}) };
  };

  /** Of an object to be written only 400 and 413 are its own fault: the bucket, the keys to it, two writes at once. */
  const judged = <T>(answer: HttpAnswer, method: string, value: T): Attempt<T> => {
    const result = attemptOf(answer, where, saysOf(answer), denied);
    if ('value' in result) return { value };
    if (method !== 'PUT' || answer.status === 400 || answer.status === 413) return result;
    const { code, message, next, endpoint } = result.error;
    return { ...result, error: new AiotError(code, message, { next, endpoint, retryable: true }) };
  };

  const attempted = async <T>(attempt: () => Promise<Attempt<T>>): Promise<Attempt<T>> => {
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof AiotError) return { error };
      throw error;
    }
  };

  return {
    send: (call, signal, takes = []) =>
      withRetries(
        () =>
          attempted(async () => {
            const answer = await transport.call({ ...(await signed(call)), ...(signal ? { signal } : {}) });
            if (takes.includes(answer.status)) return { value: answer };
            return judged(answer, call.method, answer);
          }),
        signal,
      ),
    open: (call, signal, takes = []) =>
      withRetries(
        () =>
          attempted(async () => {
            const answer = await transport.open({ ...(await signed(call)), ...(signal ? { signal } : {}) });
            const { status, headers, body } = answer;
            if (takes.includes(status) || (status >= 200 && status < 300)) return { value: answer };
            const words = await body.toArray().catch(() => []);
            return judged({ status, headers, body: Buffer.concat(words) }, call.method, answer);
          }),
        signal,
      ),
  };
}

function saysOf({ body }: HttpAnswer): string {
  const text = body.toString('utf8', 0, 4096);
  const code = elementText(text, 'Code');
  const message = elementText(text, 'Message');
  if (code === undefined) return '';
  return `${code}${message ? ` (${message})` : ''}`;
}
