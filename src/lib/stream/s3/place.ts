import { z } from 'zod';
import { AiotError } from '../../core/index.js';
import type { StreamOptions } from '../options.js';
import { queryCount, readQuery } from '../query.js';
import type { StreamUrl } from '../url.js';

const shape = {
  /** Of another server than AWS: MinIO, versitygw, Garage, Ceph. */
  endpoint: z.url({ protocol: /^https?$/ }).optional(),
  region: z.string().min(1).optional(),
  /** Content-Type of the objects; absent = what the message says or looks like. */
  type: z.string().min(1).optional(),
  /** Objects under way at a time; default 8. */
  parallel: queryCount.refine((count) => count >= 1 && count <= 64, 'expected 1 to 64').optional(),
};

export interface S3Place {
  bucket: string;
  /** Key, with its placeholders, or prefix. */
  key: string;
  /** Such as `http://127.0.0.1:9000`. */
  endpoint: string;
  /** For states. */
  shown: string;
  /** For errors: with the server, where it is not AWS. */
  where: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  type: string | undefined;
  parallel: number;
  urlOf(key: string, query?: Record<string, string>): string;
}

/**
 * `s3://BUCKET/KEY?endpoint=…&region=…`. Access key and secret: from the URL (`s3://KEY:SECRET@BUCKET/…`), the options, or the
 * environment as AWS's own tools read it (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION,
 * AWS_ENDPOINT_URL).
 * @throws AIOT_STREAM_URL
 */
export function s3Place(
  url: StreamUrl,
  options: StreamOptions,
  env: NodeJS.ProcessEnv = process.env,
): S3Place {
  const query = readQuery(url, shape);
  const bucket = url.host;
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/i.test(bucket)) {
    throw new AiotError(
      'AIOT_STREAM_URL',
      `${url.endpoint}: expected s3://BUCKET/KEY, got no name of a bucket`,
    );
  }
  const region = query.region ?? options.region ?? env.AWS_REGION ?? env.AWS_DEFAULT_REGION ?? 'us-east-1';
  const given = query.endpoint ?? env.AWS_ENDPOINT_URL_S3 ?? env.AWS_ENDPOINT_URL;
  const endpoint = (given ?? `https://${bucket}.s3.${region}.amazonaws.com`).replace(/\/+$/, '');
  // Names of buckets as parts of a host are AWS's; elsewhere they begin the path.
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

/** As AWS's signature wants it: all but letters, digits and `-._~` (RFC 3986, 2.3). */
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
): S3Place['credentials'] {
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
  throw new AiotError('AIOT_BROKER_REFUSED', `${url.endpoint}: no access key and secret key for it`, {
    endpoint: url.endpoint,
    next: `aiot stream login ${url.endpoint}, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`,
  });
}
