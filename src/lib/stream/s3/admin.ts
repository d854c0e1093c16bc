import { AiotError } from '../../core/errors.js';
import type { CheckResult, StreamAdmin, TopicState } from '../broker/admin.js';
import { hasPlaceholder, nameTemplate } from '../file/template.js';
import type { StreamOptions } from '../message.js';
import type { StreamUrl } from '../url.js';
import { createS3Client, type S3Client, s3Location } from './client.js';

/** Maximum number of objects counted; a bucket may have millions. */
const mostObjects = 100_000;

/**
 * Reports a bucket's contents by folder, and checks our permissions.
 * @throws AIOT_STREAM_URL, AIOT_BROKER_REFUSED (no keys)
 */
export async function openS3Admin(url: StreamUrl, options: StreamOptions): Promise<StreamAdmin> {
  const place = s3Location(url, options);
  const prefix = hasPlaceholder(place.key) ? nameTemplate(place.key, place.shown).prefix : place.key;
  const client = await createS3Client(place, options);
  return {
    endpoint: place.shown,
    topics: ({ signal }) => folders(client, prefix, signal),
    check: ({ signal }) => check(client, prefix, signal),
    close: () => client.close(),
  };
}

async function folders(client: S3Client, prefix: string, signal?: AbortSignal): Promise<TopicState[]> {
  const found = new Map<string, Required<Pick<TopicState, 'messages' | 'bytes' | 'last'>>>();
  let objects = 0;
  for await (const page of client.list(prefix, signal ? { signal } : {})) {
    for (const { key, bytes, modified } of page) {
      const folder = key.slice(0, key.lastIndexOf('/') + 1);
      const state = found.get(folder) ?? { messages: 0, bytes: 0, last: 0 };
      state.messages++;
      state.bytes += bytes;
      state.last = Math.max(state.last, modified);
      found.set(folder, state);
    }
    objects += page.length;
    if (objects >= mostObjects) break;
  }
  return [...found].map(([topic, state]) => ({ topic, ...state }));
}

/** Tries to list, write, read and delete an object, with a key that no template produces. */
async function check(client: S3Client, prefix: string, signal?: AbortSignal): Promise<CheckResult[]> {
  const key = `${prefix.slice(0, prefix.lastIndexOf('/') + 1)}.aiot-check-${crypto.randomUUID()}`;
  const body = Buffer.from('a test object of aiot, to be deleted');
  const results: CheckResult[] = [];
  const attempt = async (what: string, task: () => Promise<string>): Promise<boolean> => {
    try {
      results.push({ what, state: 'ok', detail: await task() });
      return true;
    } catch (error) {
      if (!(error instanceof AiotError)) throw error;
      results.push({ what, state: 'failed', detail: error.message });
      return false;
    }
  };
  const options = { once: true, ...(signal ? { signal } : {}) };
  await attempt('list', async () => {
    const { value = [] } = await client.list(prefix, signal ? { signal } : {}).next();
    return value.length === 0 ? 'no objects yet' : `${value[0]!.key} is the first`;
  });
  const written = await attempt('write', async () => {
    await client.put(key, body, 'text/plain', options);
    return `${body.length} bytes`;
  });
  if (!written) return results;
  await attempt('read', async () => {
    const { body: read } = await client.get(key, signal);
    return read.equals(body) ? 'the same bytes' : 'DIFFERENT BYTES than were written';
  });
  const kept = await client.put(key, Buffer.from('another'), 'text/plain', options).catch(() => undefined);
  results.push({
    what: 'objects are never overwritten',
    state: kept === 'taken' ? 'ok' : 'no',
    detail:
      kept === 'taken'
        ? 'If-None-Match is supported'
        : 'this server ignores If-None-Match: use a single writer for numbered keys',
  });
  await attempt('delete', async () => {
    await client.remove(key, signal);
    return 'nothing is left behind';
  });
  return results;
}
