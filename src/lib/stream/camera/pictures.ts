import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import { pictureFacts } from '../../vision/facts.js';
import type { Delivery, Source } from '../message.js';
import { queryBoolean, readQuery, type StreamUrl } from '../url.js';
import { pictureHeaders } from './input.js';

const settings = {
  /** Pictures per second; absent = as fast as they are consumed. */
  fps: z.coerce.number('expected pictures per second').positive().max(1000).optional(),
  /** Whether to start again with the first picture after the last one. */
  loop: queryBoolean.default(false),
  topic: z.string().min(1).optional(),
};

const isPicture = (name: string) => /\.(jpe?g|png|webp|gif|bmp|tiff?|avif)$/i.test(name);
/** Maximum number of unacknowledged pictures; small, because a picture may be large. */
const mostOut = 16;

/**
 * Streams the pictures of a folder in the order of their names (`face2` before `face10`). Each file is sent unchanged, with its
 * name as the topic. Files are read only on demand, so no picture is dropped.
 * @throws AIOT_STREAM_URL, AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE (a folder without pictures)
 */
export async function openPicturesSource(url: StreamUrl): Promise<Source> {
  const { fps, loop, topic } = readQuery(url, settings);
  const folder = url.path;
  if (folder === '') throw new AiotError('AIOT_STREAM_URL', 'expected a folder: pictures:///FOLDER');
  const endpoint = `pictures:${folder}`;
  const names = (await readdir(folder).catch((error: unknown) => unreadable(folder, error)))
    .filter(isPicture)
    .sort(new Intl.Collator('en', { numeric: true }).compare);
  if (names.length === 0)
    throw new AiotError('AIOT_FILE_NOT_READABLE', `${folder} contains no pictures (.jpg, .png, .webp, …)`);
  const closing = new AbortController();
  let out = 0;
  let wake = () => {};
  const delivery = async (name: string, number: number): Promise<Delivery> => {
    const payload = await readFile(join(folder, name)).catch((error: unknown) => unreadable(name, error));
    const facts = pictureFacts(payload);
    const headers = pictureHeaders(
      facts ? `image/${facts.format}` : 'application/octet-stream',
      facts,
      number,
    );
    out++;
    let settled = false;
    const settle = () => {
      if (!settled) out--;
      settled = true;
      wake();
    };
    const message = { topic: topic ?? name, payload, time: Date.now(), headers, source: endpoint };
    return { message, ack: settle, nack: settle };
  };
  return {
    endpoint,
    dropped: 0,
    async *[Symbol.asyncIterator]() {
      const began = performance.now();
      for (let number = 0; loop || number < names.length; number++) {
        const due = fps === undefined ? 0 : began + (number * 1000) / fps - performance.now();
        if (due > 0) await sleep(due, undefined, { signal: closing.signal }).catch(() => {});
        while (out >= mostOut && !closing.signal.aborted)
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        if (closing.signal.aborted) return;
        yield [await delivery(names[number % names.length]!, number + 1)];
      }
    },
    async close() {
      closing.abort();
      wake();
    },
  };
}

function unreadable(path: string, error: unknown): never {
  const code = systemCode(error);
  throw new AiotError(
    code === 'ENOENT' ? 'AIOT_FILE_NOT_FOUND' : 'AIOT_FILE_NOT_READABLE',
    `cannot read ${path} (${code})`,
    { cause: error, endpoint: path },
  );
}
