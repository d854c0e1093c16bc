import { appendFile, type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { AiotError, systemCode } from '../../core/errors.js';
import { makeFolder, syncFolder, unwritable, writeFileAtomic } from '../../core/files.js';
import { takeLock } from '../../core/lock.js';
import type { OutgoingMessage, Sink } from '../message.js';
import { readQuery, type StreamUrl } from '../url.js';
import { csvEncoder, type Encoder, linesEncoder, ndjsonEncoder, tableEncoder } from './encode.js';
import { gzipTo } from './gzip.js';
import { oddQuotes } from './rows.js';
import { type FileSettings, filePathOf, fileSettings, isGzip, type Rotation } from './settings.js';
import { hasPlaceholder, nameTemplate } from './template.js';

/** Converts collected lines to a finished file, completely or not at all. */
type Finish = (lines: string, finished: string) => Promise<void>;

/**
 * Writes messages to files. NDJSON, CSV and plain lines grow in place. With `rotateSize`, `rotateTime` or
 * `rotateCount`, and always for Parquet or `.gz`, lines are collected in a hidden file next to the target, which is
 * renamed when it is finished. The next process continues a killed process's hidden file. A path with placeholders
 * (`face{n}.png`) yields a file for each message. `write` resolves once everything is on disk; writes that arrive
 * during a sync share the next one.
 * @throws AIOT_STREAM_URL, AIOT_FILE_NOT_WRITABLE; while writing also AIOT_STREAM_UNFIT, AIOT_DISK_FULL
 */
export async function openFileSink(url: StreamUrl): Promise<Sink> {
  if (hasPlaceholder(filePathOf(url))) return openEachSink(url);
  const settings = fileSettings(url);
  const { path, format, rotation } = settings;
  const finish = await finisherOf(settings);
  const encoder = encoderOf(settings);
  if (!finish && !rotation) {
    const file = await openAppend(path, encoder);
    return createLinesSink({ endpoint: path, encoder, file, open: async () => file });
  }
  if (!rotation && (await stat(path).catch(() => null))) {
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `${path} already exists and cannot be appended to`, {
      next: `Choose another name, or start a new file at intervals: ?rotateTime=1h${format === 'parquet' ? '' : ', or a name without .gz'}`,
    });
  }
  return openPieces(settings, encoder, finish);
}

/**
 * Opens a sink that collects lines in a hidden file. A lock on the file's name keeps other processes from writing to
 * the file.
 */
async function openPieces(
  settings: FileSettings,
  encoder: Encoder,
  finish: Finish | undefined,
): Promise<Sink> {
  const { path, rotation } = settings;
  const names = pieceNames(path);
  const release = await takeLock(names.lock);
  if (!release) {
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `another process is writing to ${path}`, {
      endpoint: path,
      next: 'Stop the other process, or choose another file.',
    });
  }
  /** Finishes files, including those left by an earlier process or attempt. */
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
      // The lines get a name that is never used for writing again, so that a crash from here on duplicates nothing.
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
        // The lock file is not needed again, because the finished file exists.
        if (!rotation) await rm(names.lock, { force: true });
        release();
      }
    },
  };
}

async function finisherOf({ path, format, fields }: FileSettings): Promise<Finish | undefined> {
  if (format === 'parquet') return (await import('./parquet.js')).parquetFinisher(path, fields);
  return isGzip(path) ? gzipTo : undefined;
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

/**
 * Writes a file for each message, containing its payload unchanged: `face{n}.png` continues after the highest existing number.
 * @throws AIOT_STREAM_URL, AIOT_FILE_NOT_WRITABLE, AIOT_DISK_FULL
 */
async function openEachSink(url: StreamUrl): Promise<Sink> {
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

/** The highest number among the files in the common prefix's folder and below; -1 if there are none. */
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

interface Pieces {
  rotation?: Rotation;
  /** Converts the collected lines to a finished file. @param since time of the first line, ms since 1970 */
  seal(since: number): Promise<void>;
}

interface Job {
  messages: readonly OutgoingMessage[];
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** Writes lines in the order of the calls. Messages that arrive during a write are combined in the next one. */
export function createLinesSink(parts: {
  endpoint: string;
  encoder: Encoder;
  /** Opens the current file, or a new file once the last one is finished. */
  open: () => Promise<AppendFile>;
  /** The file, if it is already open. It is then closed at the end even if nothing was written. */
  file?: AppendFile;
  /** How lines become finished files; absent = all lines are appended to one file. */
  pieces?: Pieces;
}): Sink {
  const { endpoint, encoder, open, pieces } = parts;
  const most = {
    bytes: pieces?.rotation?.bytes ?? Number.POSITIVE_INFINITY,
    messages: pieces?.rotation?.messages ?? Number.POSITIVE_INFINITY,
    ms: pieces?.rotation?.ms,
  };
  let file = parts.file;
  let count = 0;
  let timer: NodeJS.Timeout | undefined;
  let waiting: Job[] = [];
  let last: Promise<void> = Promise.resolve();
  let closing: Promise<void> | undefined;
  /**
   * The error from the last `seal`. The lines are on disk, so no write has failed, and the next write reports the
   * error.
   */
  let sealFailure: { error: unknown } | undefined;

  /** Finishes the current file. Never throws, because the timer calls it too, and nothing would catch the error there. */
  const seal = async () => {
    clearTimeout(timer);
    timer = undefined;
    if (!pieces || !file || file.bytes === 0) return;
    const full = file;
    file = undefined;
    try {
      await full.close();
      await pieces.seal(full.since);
    } catch (error) {
      sealFailure = { error };
    }
  };
  const throwSealFailure = () => {
    const failed = sealFailure;
    sealFailure = undefined;
    if (failed) throw failed.error;
  };
  /** Serializes all operations on the file. */
  const enqueue = (task: () => Promise<void>): Promise<void> => {
    const next = last.then(task);
    last = next.catch(() => {});
    return next;
  };
  const opened = async (): Promise<AppendFile> => {
    if (file) return file;
    file = await open();
    count = pieces ? await file.lines() : 0;
    return file;
  };
  const append = async (text: string, messages: number) => {
    const target = await opened();
    await target.append(text);
    count += messages;
    if (target.bytes >= most.bytes || count >= most.messages) await seal();
    else if (most.ms !== undefined && !timer) {
      timer = setTimeout(() => void enqueue(seal), Math.max(0, target.since + most.ms - Date.now()));
      timer.unref();
    }
  };

  /** Writes the lines of all waiting jobs: once whenever the file is full, and once at the end. */
  const flush = async () => {
    const jobs = waiting;
    waiting = [];
    let complete: Job[] = [];
    let text = '';
    let messages = 0;
    const write = async (partly?: Job) => {
      const [now, lines, n] = [complete, text, messages];
      [complete, text, messages] = [[], '', 0];
      try {
        if (n > 0) await append(lines, n);
        for (const job of now) job.resolve();
        return true;
      } catch (error) {
        for (const job of partly ? [...now, partly] : now) job.reject(error);
        return false;
      }
    };
    const take = async (job: Job) => {
      const { lines, newFile } = encoder.encode(job.messages, pieces?.rotation !== undefined);
      if (newFile) {
        await write();
        await seal();
      }
      for (const line of lines) {
        text += line;
        messages++;
        if (count + messages >= most.messages && !(await write(job))) return;
      }
      complete.push(job);
    };
    for (const job of jobs) {
      try {
        throwSealFailure();
        await opened();
        await take(job);
      } catch (error) {
        job.reject(error);
      }
    }
    await write();
  };

  return {
    endpoint,
    write: (messages) =>
      new Promise<void>((resolve, reject) => {
        waiting.push({ messages, resolve, reject });
        if (waiting.length === 1) void enqueue(flush);
      }),
    close() {
      closing ??= enqueue(async () => {
        await seal();
        await file?.close();
        throwSealFailure();
      });
      return closing;
    },
  };
}

/** A file that grows only by whole lines, which are on disk before `append` resolves. */
interface AppendFile {
  readonly bytes: number;
  /** Time at which the first line was written, ms since 1970. */
  readonly since: number;
  append(text: string): Promise<void>;
  /** Counts the lines below the head. */
  lines(): Promise<number>;
  close(): Promise<void>;
}

/** @throws AIOT_FILE_NOT_WRITABLE, AIOT_FILE_MALFORMED, AIOT_CSV_COLUMNS (the file's columns differ) */
async function openAppend(path: string, encoder: Encoder): Promise<AppendFile> {
  await makeFolder(dirname(path));
  const file: FileHandle = await open(path, 'a+').catch((error: unknown) => {
    throw unwritable(path, error);
  });
  let bytes = 0;
  let since = Date.now();
  try {
    const found = await file.stat();
    // Pipes and /dev/stdout have no size and no end, and cannot be synced.
    if (found.isFile() && found.size > 0) {
      bytes = await cutTornLine(file, path, found.size);
      since = found.birthtimeMs || since;
      if (bytes > 0) encoder.resume(await firstRecord(file, bytes));
    } else if (found.isFile()) await syncFolder(dirname(path));
  } catch (error) {
    await file.close();
    throw error instanceof AiotError ? error : unwritable(path, error);
  }
  return {
    get bytes() {
      return bytes;
    },
    get since() {
      return since;
    },
    async append(text) {
      const data = Buffer.from(bytes === 0 ? encoder.head() + text : text);
      try {
        await file.appendFile(data);
        await file.datasync();
      } catch (error) {
        // The write may have stopped in the middle of a line, for example because the disk is full.
        await file.truncate(bytes).catch(() => {});
        throw unwritable(path, error);
      }
      if (bytes === 0) since = Date.now();
      bytes += data.length;
    },
    async lines() {
      if (bytes === 0) return 0;
      const chunk = Buffer.alloc(256 * 1024);
      let lines = encoder.head() === '' ? 0 : -1;
      for (let at = 0; at < bytes; ) {
        const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
        if (bytesRead === 0) break;
        for (let i = chunk.indexOf(10); i >= 0 && i < bytesRead; i = chunk.indexOf(10, i + 1)) lines++;
        at += bytesRead;
      }
      return lines;
    },
    close: () => file.close(),
  };
}

/** Maximum length of a record in an existing file, bytes; anything longer is not a record. */
const window = 1024 * 1024;

/** The first record of a file, such as a CSV header; '' if the file is empty. */
async function firstRecord(file: FileHandle, bytes: number): Promise<string> {
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
 * Returns the position at which to resume a file: after its last whole line. A partial line left by a crash was never
 * acknowledged, but may also have been written by hand, so it is moved to `PATH.torn` rather than discarded.
 * @returns the file's new length, bytes
 * @throws AIOT_FILE_MALFORMED if the file has no lines at all
 */
async function cutTornLine(file: FileHandle, path: string, bytes: number): Promise<number> {
  if (bytes === 0) return 0;
  const from = Math.max(0, bytes - window);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes - from), 0, bytes - from, from);
  const tail = buffer.subarray(0, bytesRead);
  const end = tail.lastIndexOf(10);
  if (end === tail.length - 1) return bytes;
  if (end < 0 && from > 0) {
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `${path}: cannot append, because the file does not end with a complete line`,
    );
  }
  await appendFile(`${path}.torn`, Buffer.concat([tail.subarray(end + 1), Buffer.from('\n')]));
  const whole = from + end + 1;
  await file.truncate(whole);
  return whole;
}

/** Names of the files made from one path: `readings.csv` → `readings-20261120T183005123Z.csv`. */
interface PieceNames {
  folder: string;
  /** Path of the file being written. It is hidden, so that consumers of finished files ignore it. */
  part: string;
  lock: string;
  /** The name of a finished file that was started at this time, ms since 1970. */
  finished(since: number, copy: number): string;
  /** Lines waiting to be converted to a finished file of another format, and the finished file's name. */
  waiting(finished: string): string;
  ofWaiting(name: string): string | undefined;
}

export function pieceNames(path: string): PieceNames {
  const name = basename(path);
  const folder = dirname(path);
  const [, stem = name, end = ''] = /^(.+?)((?:\.[a-z0-9]+)?(?:\.gz)?)$/i.exec(name) ?? [];
  return {
    folder,
    part: join(folder, `.${name}.part`),
    lock: join(folder, `.${name}.lock`),
    finished(since, copy) {
      const stamp = new Date(since).toISOString().replace(/[-:.]/g, '');
      // An underscore sorts after the dot in the first file's extension, so files sorted by name are in order.
      return join(folder, `${stem}-${stamp}${copy > 1 ? `_${copy}` : ''}${end}`);
    },
    waiting: (finished) => join(folder, `.${basename(finished)}.rows`),
    ofWaiting(found) {
      if (!found.startsWith(`.${stem}`) || !found.endsWith(`${end}.rows`)) return undefined;
      return join(folder, found.slice(1, -'.rows'.length));
    },
  };
}

/** The first unused name. The caller holds the lock, so no other process can take it in the meantime. */
async function freeName(names: PieceNames, since: number): Promise<string> {
  const taken = new Set(await readdir(names.folder));
  for (let copy = 1; ; copy++) {
    const name = names.finished(since, copy);
    if (!taken.has(basename(name)) && !taken.has(basename(names.waiting(name)))) return name;
  }
}

async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncFolder(dirname(to));
}
