import { readdir } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { systemCode, unwritable, writeFileAtomic } from '../../core/index.js';
import type { Sink } from '../message.js';
import { readQuery } from '../query.js';
import { nameTemplate } from '../template.js';
import type { StreamUrl } from '../url.js';
import { filePathOf } from './path.js';

/**
 * A file for each message, with its payload as it is: `face{n}.png` goes on behind the highest number that is there.
 * @throws AIOT_STREAM_URL, AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL
 */
export async function openEachSink(url: StreamUrl): Promise<Sink> {
  readQuery(url, {});
  const path = filePathOf(url);
  const template = nameTemplate(path, 'file:');
  let next = template.numbered ? (await highestIn(template.prefix, template.numberIn)) + 1 : 0;
  let last: Promise<void> = Promise.resolve();
  return {
    endpoint: path,
    write(messages) {
      const named = messages.map((message) => ({ message, name: template.render(message, next++) }));
      const written = last
        .catch(() => {})
        .then(async () => {
          for (const { message, name } of named) await writeFileAtomic(name, message.payload);
        });
      last = written;
      return written;
    },
    close: () => last.catch(() => {}),
  };
}

/** The highest number of the files below the folder of what all names begin with; -1 without any. */
async function highestIn(prefix: string, numberIn: (name: string) => number | undefined): Promise<number> {
  const folder = prefix.endsWith('/') ? prefix : dirname(prefix === '' ? '.' : prefix);
  const absolute = prefix.startsWith('/');
  const names = await readdir(folder === '' ? '.' : folder, { recursive: true }).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [];
    throw unwritable(folder, error);
  });
  let highest = -1;
  for (const name of names) {
    const path = join(folder, name);
    const number =
      numberIn(absolute ? resolve(path) : relative('.', path)) ?? numberIn(`./${relative('.', path)}`);
    if (number !== undefined && number > highest) highest = number;
  }
  return highest;
}
