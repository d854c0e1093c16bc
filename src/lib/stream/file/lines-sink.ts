import type { OutgoingMessage, Sink } from '../message.js';
import type { AppendFile } from './append.js';
import type { Encoder } from './encode.js';
import type { Rotation } from './settings.js';

export interface Pieces {
  rotation?: Rotation;
  /** Makes a finished file of what was collected. @param since when it was begun, ms since 1970 */
  seal(since: number): Promise<void>;
}

interface Job {
  messages: readonly OutgoingMessage[];
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** Writes lines in the order of the calls; those that wait while one write runs go together in the next. */
export function createLinesSink(parts: {
  endpoint: string;
  encoder: Encoder;
  /** Opens the file, or the next one. */
  open: () => Promise<AppendFile>;
  /** Is open already: closed at the end also where nothing was written. */
  file?: AppendFile;
  /** Absent = one file, that grows. */
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
  /** Lines are safe when this happens, so no write has failed; the next one tells it. */
  let sealFailure: { error: unknown } | undefined;

  /** Never throws: the clock calls it too, and nobody hears that. */
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
  /** One after the other with all that touches the file. */
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

  /** Jobs whose lines are in `text`, as one write each time that a file is full, and one at the end. */
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
