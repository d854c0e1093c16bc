import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { pipeline, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import * as z from 'zod';
import { AiotError, systemCode } from '../../core/errors.js';
import type { Delivery, Message, Source, StreamOptions } from '../message.js';
import { queryBoolean, readQuery, type StreamUrl } from '../url.js';
import { fromLine } from './line.js';
import { createRowReader, readRecords, type TextRecord } from './rows.js';
import { filePathOf, formatOfPath, isGzip } from './settings.js';

const settings = {
  format: z.enum(['ndjson', 'csv', 'lines']).optional(),
  /** Names of the columns of a CSV file without a header row. */
  fields: z.string().optional(),
  header: queryBoolean.optional(),
  /** Topic of rows and lines; absent = the file's name without its extension. */
  topic: z.string().optional(),
};

/**
 * Reads a file from beginning to end: message lines (NDJSON), rows (CSV, each as a JSON object) or plain lines. `.gz` is
 * decompressed.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_NOT_READABLE, AIOT_STREAM_URL; while reading, AIOT_FILE_MALFORMED and AIOT_CSV_*
 */
export async function openFileSource(url: StreamUrl): Promise<Source> {
  const path = filePathOf(url);
  const convert = converterOf(url, path);
  const found = await stat(path).catch((error: unknown) => {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? ''))
      throw new AiotError('AIOT_FILE_NOT_FOUND', `the file ${path} does not exist`, { cause: error });
    throw unreadable(path, error);
  });
  if (found.isDirectory())
    throw new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${path}: it is a folder`);
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  // `pipeline` passes errors of either stream to the reader of the last one.
  return recordsSource(isGzip(path) ? pipeline(file, createGunzip(), () => {}) : file, path, convert);
}

/** Reads standard input until its end. */
export async function openStdinSource(url: StreamUrl, options: StreamOptions): Promise<Source> {
  const input = (options.input ?? process.stdin) as Readable;
  return recordsSource(input, 'stdin:', converterOf(url, 'stdin:'));
}

interface Converter {
  /** Whether quoted cells may contain line endings. */
  quotes: boolean;
  /** Returns a record's message; undefined if the record is not a message, such as a header. */
  message(record: TextRecord): Message | undefined;
}

function converterOf(url: StreamUrl, where: string): Converter {
  const query = readQuery(url, settings);
  const format = query.format ?? formatOfPath(where);
  if (format === 'parquet') {
    throw new AiotError('AIOT_STREAM_SCHEME', `${where}: Parquet files can only be written, not read`, {
      next: 'Convert the file to CSV or NDJSON.',
    });
  }
  const topic =
    query.topic ??
    (basename(where)
      .replace(/\.(csv|txt|log)?(\.gz)?$/i, '')
      .replace(/:$/, '') ||
      'stdin');
  if (format === 'ndjson') {
    const plain = `To read lines that \`aiot stream record\` did not write, use ${url.scheme}:${url.path}?format=lines; for rows, use ?format=csv.`;
    return { quotes: false, message: ({ text, line }) => fromLine(text, where, line, plain) };
  }
  const message = (text: string): Message => ({
    topic,
    payload: Buffer.from(text),
    time: Date.now(),
    source: where,
  });
  if (format === 'lines') return { quotes: false, message: ({ text }) => message(text) };
  const read = createRowReader(where.replace(/:$/, ''), query.fields?.split(','), query.header);
  return {
    quotes: true,
    message: (record) => {
      const row = read(record);
      return row === undefined ? undefined : message(typeof row === 'string' ? row : JSON.stringify(row));
    },
  };
}

/** Reads only on demand, so nothing is dropped and memory use stays bounded. Yields one batch for each chunk. */
function recordsSource(input: Readable, endpoint: string, convert: Converter): Source {
  const settle = () => {};
  let closed = false;
  return {
    endpoint,
    dropped: 0,
    async *[Symbol.asyncIterator](): AsyncGenerator<Delivery[]> {
      try {
        for await (const records of readRecords(input, convert.quotes, endpoint)) {
          const batch: Delivery[] = [];
          for (const record of records) {
            const message = record.text.trim() === '' ? undefined : convert.message(record);
            if (message) batch.push({ message, ack: settle, nack: settle });
          }
          if (closed) return;
          if (batch.length > 0) yield batch;
        }
      } catch (error) {
        if (closed) return;
        throw error instanceof AiotError ? error : unreadable(endpoint, error);
      }
    },
    async close() {
      closed = true;
      input.destroy();
    },
  };
}

function unreadable(path: string, error: unknown): AiotError {
  const reason = systemCode(error) ?? (error instanceof Error ? error.message : 'unknown error');
  return new AiotError('AIOT_FILE_NOT_READABLE', `cannot read ${path} (${reason})`, {
    cause: error,
    endpoint: path,
  });
}
