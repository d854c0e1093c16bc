import { readdir, rm, stat } from 'node:fs/promises';
import { AiotError, takeLock } from '../../core/index.js';
import type { Sink } from '../message.js';
import { hasPlaceholder } from '../template.js';
import type { StreamUrl } from '../url.js';
import { openAppend } from './append.js';
import { csvEncoder, type Encoder, linesEncoder, ndjsonEncoder, tableEncoder } from './encode.js';
import { createLinesSink, type Pieces } from './lines-sink.js';
import { filePathOf, isGzip } from './path.js';
import { freeName, pieceNames, renameDurably } from './pieces.js';
import { type FileSettings, fileSettings } from './settings.js';

/** Makes a finished file of lines, whole or not at all. */
type Finish = (lines: string, finished: string) => Promise<void>;

/**
 * Writes messages into files. NDJSON, CSV and plain lines grow in place; with `rotateSize`, `rotateTime` or `rotateCount`, and
 * always as Parquet or `.gz`, lines are collected in a hidden file beside, and appear under their name when it is finished. What
 * a killed process collected, the next one goes on with. A path with placeholders (`face{n}.png`) is a file for each message.
 * `write` resolves when all is on disk; writes that come while one sync runs share the next.
 * @throws AIOT_STREAM_URL, AIOT_FILE_NOT_WRITABLE; while writing also AIOT_STREAM_UNFIT, AIOT_DISK_FULL
 */
export async function openFileSink(url: StreamUrl): Promise<Sink> {
  if (hasPlaceholder(filePathOf(url))) return (await import('./each.js')).openEachSink(url);
  const settings = fileSettings(url);
  const { path, format, rotation } = settings;
  const finish = await finisherOf(settings);
  const encoder = encoderOf(settings);
  if (!finish && !rotation) {
    const file = await openAppend(path, encoder);
    return createLinesSink({ endpoint: path, encoder, file, open: async () => file });
  }
  if (!rotation && (await stat(path).catch(() => null))) {
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `${path} is there already, and cannot be written on`, {
      next: `Choose another name, or let a new file begin now and then: ?rotateTime=1h${format === 'parquet' ? '' : ', or a name without .gz'}`,
    });
  }
  return openPieces(settings, encoder, finish);
}

/** With the lock on their names: two that write the same pieces would mix them. */
async function openPieces(
  settings: FileSettings,
  encoder: Encoder,
  finish: Finish | undefined,
): Promise<Sink> {
  const { path, rotation } = settings;
  const names = pieceNames(path);
  const release = await takeLock(names.lock);
  if (!release) {
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `another process writes ${path}`, { endpoint: path });
  }
  /** Also what an earlier process, or an earlier attempt, did not come to. */
  const finishWaiting = async () => {
    for (const name of finish ? (await readdir(names.folder)).sort() : []) {
      const finished = names.ofWaiting(name);
      if (!finish || !finished) continue;
      const lines = names.waiting(finished);
      if (!(await stat(finished).catch(() => null))) await finish(lines, finished);
      await rm(lines, { force: true });
    }
  };
  const pieces: Pieces = {
    async seal(since) {
      const finished = rotation ? await freeName(names, since) : path;
      if (!finish) return renameDurably(names.part, finished);
      // Under this name it is never written on, so that a crash from here on doubles nothing.
      await renameDurably(names.part, names.waiting(finished));
      await finishWaiting();
    },
    ...(rotation ? { rotation } : {}),
  };
  try {
    await finishWaiting();
    await openAppend(names.part, encoder).then((file) => file.close());
  } catch (error) {
    release();
    throw error;
  }
  const sink = createLinesSink({
    endpoint: path,
    encoder,
    open: () => openAppend(names.part, encoder),
    pieces,
  });
  return {
    ...sink,
    async close() {
      try {
        await sink.close();
      } finally {
        // Nobody opens these names again: the finished file is there.
        if (!rotation) await rm(names.lock, { force: true });
        release();
      }
    },
  };
}

async function finisherOf({ path, format, fields }: FileSettings): Promise<Finish | undefined> {
  if (format === 'parquet') return (await import('./parquet/write.js')).parquetFinisher(path, fields);
  return isGzip(path) ? (await import('./gzip.js')).gzipTo : undefined;
}

function encoderOf({ path, format, fields, header }: FileSettings): Encoder {
  if (format === 'csv') return csvEncoder(path, fields, header);
  if (format === 'parquet')
    return tableEncoder(
      path,
      fields?.map((field) => field.replace(/:[^:]*$/, '')),
    );
  return format === 'lines' ? linesEncoder(path) : ndjsonEncoder(path);
}
