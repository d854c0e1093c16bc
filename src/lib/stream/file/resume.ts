import { appendFile, type FileHandle } from 'node:fs/promises';
import { AiotError } from '../../core/index.js';
import { oddQuotes } from './records.js';

/** A record that is longer, of a file that is taken up, is none. Bytes. */
const window = 1024 * 1024;

/** The first record of a file, such as a CSV header; '' when it is empty. */
export async function firstRecord(file: FileHandle, bytes: number): Promise<string> {
  const { buffer, bytesRead } = await file.read(
    Buffer.alloc(Math.min(bytes, window)),
    0,
    Math.min(bytes, window),
    0,
  );
  const text = buffer.toString('utf8', 0, bytesRead).replace(/^\uFEFF/, '');
  let end = text.indexOf('\n');
  while (end >= 0 && oddQuotes(text, 0, end)) end = text.indexOf('\n', end + 1);
  return end < 0 ? text : text.slice(0, end);
}

/**
 * Where to go on in a file: behind its last whole line. What a crash left of a half line goes to `PATH.torn`: it was never
 * acknowledged, but nothing is thrown away that somebody may have written by hand.
 * @returns its length then, bytes @throws AIOT_FILE_MALFORMED when it has no lines at all
 */
export async function cutTornLine(file: FileHandle, path: string, bytes: number): Promise<number> {
  if (bytes === 0) return 0;
  const from = Math.max(0, bytes - window);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes - from), 0, bytes - from, from);
  const tail = buffer.subarray(0, bytesRead);
  const end = tail.lastIndexOf(10);
  if (end === tail.length - 1) return bytes;
  if (end < 0 && from > 0) {
    throw new AiotError('AIOT_FILE_MALFORMED', `${path}: expected lines to go on after, got none at its end`);
  }
  await appendFile(`${path}.torn`, Buffer.concat([tail.subarray(end + 1), Buffer.from('\n')]));
  const whole = from + end + 1;
  await file.truncate(whole);
  return whole;
}
