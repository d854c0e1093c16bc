import { setTimeout as delay } from 'node:timers/promises';

/** Stored position of one reader of a log; null = it has read nothing so far. */
export interface Cursor<Position> {
  read(): Promise<Position | null>;
  save(position: Position): Promise<void>;
}

/** One log that is forwarded to one destination. */
interface Lane<Page, Position extends string | number> {
  cursor: Cursor<Position>;
  /** Yields entries after a position, first existing and then new ones, until the signal is aborted. */
  source(after: Position | null, signal: AbortSignal): AsyncIterable<Page>;
  /**
   * Delivers a page in order; each delivered step moves the position. False = the remaining entries cannot be delivered, or not by this
   * process; the position stays before them.
   */
  deliver(page: Page, arrived: (position: Position) => void): Promise<boolean>;
  /** Interval at which the position is saved, ms. After a crash, entries sent since the last save are resent. */
  saveEveryMs: number;
}

/**
 * Forwards a log, at least once and in order. The log itself is the queue: it is durable, nothing waits in memory, and pruning keeps entries that a
 * cursor has not passed. Ends with the signal, or when `deliver` gives up. @throws errors of source and deliver
 */
export async function sendOn<Page, Position extends string | number>(
  { cursor, source, deliver, saveEveryMs }: Lane<Page, Position>,
  signal: AbortSignal,
): Promise<void> {
  const start: Position | null = await cursor.read();
  let saved: Position | null = start;
  let position: Position | null = start;
  const save = async () => {
    if (position === null || position === saved) return;
    saved = position;
    await cursor.save(position);
  };
  // If saving fails, the next attempt saves a newer position.
  const saving = setInterval(() => void save().catch(() => {}), saveEveryMs);
  const arrived = (at: Position) => {
    position = at;
  };
  try {
    for await (const page of source(start, signal)) {
      if (!(await deliver(page, arrived)) || signal.aborted) return;
    }
  } finally {
    clearInterval(saving);
    await save().catch(() => {});
  }
}

/**
 * Runs a task until it completes or the signal is aborted; after a failure, the task is retried with doubling pauses.
 * @param failed called with each failure; returns true to reset the next pause to the shortest
 */
export async function untilDone(
  task: () => Promise<void>,
  signal: AbortSignal,
  { firstPauseMs, longestPauseMs }: { firstPauseMs: number; longestPauseMs: number },
  failed: (error: unknown) => boolean | undefined,
): Promise<void> {
  for (let pauseMs = firstPauseMs; !signal.aborted; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
    try {
      return await task();
    } catch (error) {
      if (signal.aborted) return;
      if (failed(error)) pauseMs = firstPauseMs;
      await delay(pauseMs, undefined, { signal }).catch(() => {});
    }
  }
}
