import type { Readable } from 'node:stream';
import { AiotError } from '../../core/index.js';
import type { Header } from '../message.js';
import type { StreamOptions } from '../options.js';
import { payloadFrom } from '../payload.js';
import { linesOf, linesOfFile } from './lines.js';
import { type Published, publishMessage } from './one.js';
import { type PublishedMany, type PublishManyOptions, publishMany } from './publish.js';

export interface GivenOptions extends Omit<StreamOptions, 'input' | 'key'> {
  url: string;
  /** What, as the user gave it; one of them, or stdin. */
  message?: string;
  file?: string;
  template?: string;
  /** Each line is a message; a file whose name says so needs it not. */
  lines?: boolean;
  count?: number;
  /** A second; 0 = as fast as they are taken. */
  rate?: number;
  retain?: boolean;
  messageKey?: string;
  headers?: readonly Header[];
  input: Readable & { isTTY?: boolean };
  onProgress?: PublishManyOptions['onProgress'];
}

/**
 * Publishes what was given: one message, or many. A rate without a count goes on until it is stopped.
 * @throws AIOT_USAGE (what does not go together), AIOT_FILE_NOT_FOUND, and what publishing throws
 */
export async function publish(options: GivenOptions): Promise<Published | PublishedMany> {
  const { message, file, template, count, rate, messageKey, headers, input, signal, ...rest } = options;
  const sources = { MESSAGE: message, '--file': file, '--template': template };
  const given = Object.entries(sources).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  if (given.length > 1)
    throw new AiotError(
      'AIOT_USAGE',
      `expected one of ${Object.keys(sources).join(', ')}, got ${given.join(' and ')}`,
    );
  const lines = options.lines || (file !== undefined && /\.(ndjson|jsonl)(\.gz)?$/i.test(file));
  if (options.lines && (message !== undefined || template !== undefined)) {
    throw new AiotError('AIOT_USAGE', `--lines is of --file or stdin, got ${given.join()}`);
  }
  const key = messageKey === undefined ? undefined : Buffer.from(messageKey);
  const many = { ...rest, signal, rate: rate ?? 0, headers, messageKey: key };
  if (lines) {
    if (file === undefined && input.isTTY)
      throw new AiotError('AIOT_USAGE', 'expected --file, or lines on stdin');
    const where = file ?? 'stdin';
    return publishMany({
      ...many,
      what: { lines: file === undefined ? linesOf(input, where) : await linesOfFile(file), where },
      count,
    });
  }
  const wanted = count ?? (rate ? undefined : 1);
  if (template !== undefined) return publishMany({ ...many, what: { template }, count: wanted });
  const payload = await payloadFrom({ message, file }, signal, input);
  const plain = wanted === 1 && messageKey === undefined && headers === undefined;
  if (plain) return publishMessage({ ...rest, payload, signal });
  return publishMany({ ...many, what: { payload }, count: wanted });
}
