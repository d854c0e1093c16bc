import * as z from 'zod';
import { queryBytes } from '../file/settings.js';
import type { StreamOptions } from '../message.js';
import { queryBoolean, queryCount, readQuery, type StreamUrl } from '../url.js';

/** Settings of the sink. They follow the `#`, because a URL's query is for the server. */
const sinkShape = {
  method: z.enum(['POST', 'PUT', 'PATCH']).optional(),
  /**
   * Maximum number of concurrent requests; requests with the same key or, without a key, the same topic stay in order.
   */
  parallel: queryCount.refine((count) => count >= 1 && count <= 256, 'expected 1 to 256').optional(),
  /** Secret that signs requests. Prefer a credentials file or the environment, because a URL is visible to others. */
  secret: z.string().min(1).optional(),
  /** Whether to send topic, time and key as `aiot-…` headers; default true. */
  headers: queryBoolean.optional(),
};

const sourceShape = {
  /** Maximum size of a request body, bytes; default 1 MiB. */
  limit: queryBytes.optional(),
  /**
   * How long to wait for the message to be stored at its destination before asking the sender to retry, s; default 30.
   */
  wait: queryCount.optional(),
  secret: z.string().min(1).optional(),
  /** Topic of the messages; default = the path. */
  topic: z.string().min(1).optional(),
};

export function httpSinkSettings(url: StreamUrl, options: StreamOptions) {
  const { method = 'POST', parallel = 1, secret, headers = true } = readQuery(url, sinkShape);
  return { method, parallel, headers, secret: secret ?? secretOf(options) } as const;
}

export function httpSourceSettings(url: StreamUrl, options: StreamOptions) {
  const { limit = 1024 * 1024, wait = 30, secret, topic } = readQuery(url, sourceShape);
  return { limit, waitMs: wait * 1000, topic, secret: secret ?? secretOf(options) };
}

function secretOf(options: StreamOptions): string | undefined {
  return options.secret ?? (process.env.AIOT_STREAM_SECRET || undefined);
}
