import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { withKeptCredentials } from '../credentials.js';
import type { StreamOptions } from '../message.js';
import { type Attempt, withRetries } from '../outbound/delivery.js';
import {
  attemptOf,
  createTransport,
  type HttpAnswer,
  type HttpStream,
  type HttpTransport,
} from '../outbound/transport.js';
import { parseStreamUrl, queryCount, readQuery, type StreamUrl } from '../url.js';

export interface Bucket extends S3Client {
  /** The part of the URL after the bucket. */
  prefix: string;
  /** The address for messages, without credentials. */
  where: string;
}

/**
 * Opens a URL's bucket, for data other than messages: `s3://BUCKET[/PREFIX]?endpoint=…&region=…`. Throws immediately if
 * the bucket is missing or inaccessible.
 * @throws AIOT_STREAM_URL, AIOT_BROKER_REFUSED, AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED
 */
export async function openBucket(url: string, options: StreamOptions = {}): Promise<Bucket> {
  const parts = parseStreamUrl(url);
  const place = s3Location(parts, await withKeptCredentials(parts, options));
  const client = await createS3Client(place, options);
  try {
    await client.list(place.key).next();
  } catch (error) {
    await client.close();
    throw error;
  }
  return { ...client, prefix: place.key, where: place.where };
}

interface S3Object {
  key: string;
  bytes: number;
  /** Time of the last modification, ms since 1970. */
  modified: number;
}

export interface S3Client {
  /** Writes an object. @param once whether to return `taken` instead of overwriting an existing object */
  put(
    key: string,
    body: Uint8Array,
    type: string,
    options: { once: boolean; signal?: AbortSignal },
  ): Promise<'put' | 'taken'>;
  get(key: string, signal?: AbortSignal): Promise<{ body: Buffer; type: string | undefined }>;
  remove(key: string, signal?: AbortSignal): Promise<void>;
  /** Yields the objects whose keys have this prefix, in the order of their keys, page by page. */
  list(prefix: string, options?: { after?: string; signal?: AbortSignal }): AsyncGenerator<S3Object[]>;
  /** Access to objects of any size. */
  large: S3Large;
  close(): Promise<void>;
}

/** Maximum size of an object that is read as a whole, bytes. */
const largestObject = 256 * 1024 * 1024;

/** @throws AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED, AIOT_BROKER_REFUSED */
export async function createS3Client(place: S3Location, options: StreamOptions): Promise<S3Client> {
  const transport = await createTransport(place.where, options, largestObject);
  const requests = await s3Requests(place, transport);
  const { send } = requests;
  /** Whether the server has reported that it does not support If-None-Match. */
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
      // The existing object may be our own, from an attempt whose response was lost.
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

interface S3Call {
  method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  key: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: Uint8Array;
}

interface S3Requests {
  /** Sends a request, with retries where they may succeed. @param takes statuses other than 2xx that are not errors */
  send(call: S3Call, signal: AbortSignal | undefined, takes?: readonly number[]): Promise<HttpAnswer>;
  /** Like `send`, but returns the body as a stream. */
  open(call: S3Call, signal: AbortSignal | undefined, takes?: readonly number[]): Promise<HttpStream>;
}

const denied = 'Check the access key, its secret, and its permissions for this bucket.';

/**
 * S3 over HTTP with AWS's Signature Version 4, which covers the body's SHA-256.
 * @throws AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED, AIOT_BROKER_REFUSED
 */
async function s3Requests(place: S3Location, transport: HttpTransport): Promise<S3Requests> {
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

  /**
   * Evaluates a response. When an object is written, only 400 and 413 are caused by the object. Other statuses concern the bucket, its
   * permissions, or two concurrent writes, and are retryable.
   */
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

/** Reads and writes objects that do not fit into memory. */
interface S3Large {
  /** Size of an object in bytes; null = no such object. */
  size(key: string): Promise<number | null>;
  /**
   * Opens the object, or a range of it (inclusive offsets), as a stream that fails if it ends early.
   * @throws AIOT_NOT_FOUND
   */
  open(key: string, range?: { first: number; last: number }): Promise<{ body: Readable; bytes: number }>;
  /** Uploads in parts; a failed upload leaves nothing behind. The object exists only once this resolves. */
  putParts(key: string, parts: AsyncIterable<Uint8Array>): Promise<void>;
}

/** The methods throw AIOT_STREAM_UNREACHABLE, AIOT_STREAM_REFUSED, AIOT_BROKER_REFUSED, and AIOT_NOT_FOUND (`open`). */
function s3Large(place: S3Location, requests: S3Requests): S3Large {
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
      // A body destroyed before its end emits an error, which needs a handler.
      body.on('error', () => {});
      if (status !== 404 && fits) return { body, bytes: Number(said['content-length']) };
      body.destroy();
      if (fits) throw new AiotError('AIOT_NOT_FOUND', `${where} has no object ${key}`);
      throw new AiotError(
        'AIOT_STREAM_REFUSED',
        `${where} responded with ${status} to a byte range request`,
        {
          endpoint: where,
        },
      );
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
        // A late failure is reported in a response with status 200 (CompleteMultipartUpload, AWS's API reference).
        const code = elementText(answer.body.toString('utf8'), 'Code');
        if (code === undefined) return;
        throw new AiotError('AIOT_STREAM_REFUSED', `${where} could not assemble the parts: ${code}`, {
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

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/**
 * The contents of each element `<name …>…</name>`. Sufficient for S3's responses, which never nest elements with the
 * same name.
 */
function elementsOf(text: string, name: string): string[] {
  return [...text.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?>(.*?)</${name}>`, 'gs'))].map(
    (found) => found[1]!,
  );
}

/** The text of the first element with this name, with its entities resolved; undefined if there is none. */
function elementText(text: string, name: string): string | undefined {
  const found = elementsOf(text, name)[0];
  return found?.replace(/&(#x?[\da-f]+|\w+);/gi, (whole, entity: string) => {
    if (entity.startsWith('#x')) return String.fromCodePoint(Number.parseInt(entity.slice(2), 16));
    if (entity.startsWith('#')) return String.fromCodePoint(Number(entity.slice(1)));
    return entities[entity] ?? whole;
  });
}

const shape = {
  /** Address of a server other than AWS, such as MinIO, versitygw, Garage or Ceph. */
  endpoint: z.url({ protocol: /^https?$/ }).optional(),
  region: z.string().min(1).optional(),
  /** Content-Type of the objects; absent = given by the message or detected. */
  type: z.string().min(1).optional(),
  /** Number of objects written concurrently; default 8. */
  parallel: queryCount.refine((count) => count >= 1 && count <= 64, 'expected 1 to 64').optional(),
};

interface S3Location {
  bucket: string;
  /** Object key with placeholders, or a prefix. */
  key: string;
  /** Address of the server, such as `http://127.0.0.1:9000`. */
  endpoint: string;
  /** Address shown in states. */
  shown: string;
  /** Address for errors, including the server if it is not AWS. */
  where: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  type: string | undefined;
  parallel: number;
  urlOf(key: string, query?: Record<string, string>): string;
}

/**
 * Parses `s3://BUCKET/KEY?endpoint=…&region=…`. Access key and secret come from the URL (`s3://KEY:SECRET@BUCKET/…`), the options, or the
 * environment variables that AWS's tools use: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL.
 * @throws AIOT_STREAM_URL
 */
export function s3Location(
  url: StreamUrl,
  options: StreamOptions,
  env: NodeJS.ProcessEnv = process.env,
): S3Location {
  const query = readQuery(url, shape);
  const bucket = url.host;
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/i.test(bucket)) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected s3://BUCKET/KEY, but the bucket name is missing`,
    );
  }
  const region = query.region ?? options.region ?? env.AWS_REGION ?? env.AWS_DEFAULT_REGION ?? 'us-east-1';
  const given = query.endpoint ?? env.AWS_ENDPOINT_URL_S3 ?? env.AWS_ENDPOINT_URL;
  const endpoint = (given ?? `https://${bucket}.s3.${region}.amazonaws.com`).replace(/\/+$/, '');
  // AWS puts the bucket's name into the host name. Other servers have it as the first part of the path.
  const base = given === undefined ? endpoint : `${endpoint}/${bucket}`;
  return {
    bucket,
    key: url.path,
    endpoint,
    shown: `s3://${bucket}`,
    where: `s3://${bucket}${given === undefined ? '' : ` at ${endpoint}`}`,
    region,
    credentials: credentialsFor(url, options, env),
    type: query.type,
    parallel: query.parallel ?? 8,
    urlOf(key, parameters) {
      const search = parameters && new URLSearchParams(parameters).toString().replaceAll('+', '%20');
      return `${base}/${key.split('/').map(encoded).join('/')}${search ? `?${search}` : ''}`;
    },
  };
}

/** Percent-encodes all characters but letters, digits and `-._~` (RFC 3986, 2.3), as AWS's signature requires. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function credentialsFor(
  url: StreamUrl,
  options: StreamOptions,
  env: NodeJS.ProcessEnv,
): S3Location['credentials'] {
  const given =
    url.username !== undefined
      ? { id: url.username, secret: url.password, session: options.session }
      : options.username !== undefined
        ? { id: options.username, secret: options.password, session: options.session }
        : { id: env.AWS_ACCESS_KEY_ID, secret: env.AWS_SECRET_ACCESS_KEY, session: env.AWS_SESSION_TOKEN };
  const { id, secret, session } = given;
  if (id && secret) {
    return { accessKeyId: id, secretAccessKey: secret, ...(session ? { sessionToken: session } : {}) };
  }
  throw new AiotError('AIOT_BROKER_REFUSED', `${url.endpoint}: the access key and secret key are missing`, {
    endpoint: url.endpoint,
    next: `Run \`aiot stream login ${url.endpoint}\`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.`,
  });
}
