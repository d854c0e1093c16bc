import { AiotError } from '../../core/errors.js';
import { machineFailure } from '../../core/files.js';
import { inParallel } from '../../core/tasks.js';
import { type Clock, systemClock } from '../../core/time.js';
import type { LoaderOptions, LoaderProgress, Stage } from '../loader/types.js';
import { type FlashBoardOptions, secondsSince } from './flash-board.js';
import type { BoardOutcome, Boards, Flashed } from './result.js';
import { unhealthy } from './update-watch.js';

export interface FlashBoardsOptions {
  ports: readonly string[];
  /** Boards at a time. */
  jobs: number;
  /** Further attempts per port, for what may succeed a second time. */
  retries: number;
  loader: Omit<LoaderOptions, 'progress'>;
  /** Does one board; asked again when it is tried again. */
  flash: (how: FlashBoardOptions) => Promise<Flashed>;
  row?: (row: BoardRow) => void;
  ask?: (text: string) => void;
  /** After each board, before the next one takes its place. */
  finished?: (outcome: BoardOutcome) => Promise<void>;
  clock?: Clock;
}

interface OnePort extends Omit<FlashBoardsOptions, 'ports' | 'jobs'> {
  /** Ports of this run by the MAC of their board. */
  portOf?: Map<string, string>;
}

/** Between two attempts: an adapter that was pulled, or reset itself, needs a moment. */
const pauseMs = 500;

/**
 * Writes boards in parallel. One that fails does not stop the others; a signal does, and ports not begun are told as stopped.
 */
export async function flashBoards(options: FlashBoardsOptions): Promise<Boards> {
  const started = performance.now();
  for (const port of options.ports) options.row?.(waitingRow(port));
  const portOf = new Map<string, string>();
  const done = await inParallel(options.ports, options.jobs, (port) =>
    flashPort(port, { ...options, portOf }),
  );
  const boards = done.map(({ outcome }) => outcome);
  const ok = boards.filter(({ error }) => error === null).length;
  return { boards, ok, failed: boards.length - ok, seconds: secondsSince(started) };
}

/** One port, with its retries; `error` is the last one, where it failed. */
export async function flashPort(
  port: string,
  options: OnePort,
): Promise<{ outcome: BoardOutcome; error: AiotError | null }> {
  const { row = () => {}, finished, clock = systemClock } = options;
  const tracker = trackRow(port, row, () => performance.now());
  const started = performance.now();
  const { attempts, board, error } = await attemptAgain(port, options, tracker, clock);
  const wrong = error ?? (board && unhealthy(board));
  const told = wrong && { code: wrong.code, message: wrong.message, next: wrong.next };
  const { mac, chip, device } = tracker.row;
  const seconds = secondsSince(started);
  const outcome: BoardOutcome = { port, attempts, seconds, mac, chip, device, board, error: told };
  await finished?.(outcome);
  return { outcome, error };
}

interface Attempted {
  attempts: number;
  board: Flashed | null;
  error: AiotError | null;
}

async function attemptAgain(
  port: string,
  options: OnePort,
  tracker: RowTracker,
  clock: Clock,
): Promise<Attempted> {
  const { signal } = options.loader;
  for (let attempts = 1; ; attempts++) {
    try {
      signal?.throwIfAborted();
      const board = await attemptOnce(port, options, tracker);
      tracker.change({ stage: 'done', error: null });
      return { attempts, board, error: null };
    } catch (cause) {
      const error = asAiotError(cause);
      if (attempts > options.retries || !mayHelp(error) || signal?.aborted) {
        tracker.change({ stage: 'failed', error: error.message });
        return { attempts, board: null, error };
      }
      tracker.change({ stage: 'again', error: error.message, attempt: attempts + 1 });
      await clock.sleep(pauseMs, signal).catch(() => {});
    }
  }
}

/** A defect on one board must not leave the others half written. */
function asAiotError(cause: unknown): AiotError {
  if (cause instanceof AiotError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return machineFailure(cause) ?? new AiotError('AIOT_BUG', message, { cause });
}

async function attemptOnce(port: string, options: OnePort, tracker: RowTracker): Promise<Flashed> {
  return await options.flash({
    port,
    loader: { ...options.loader, progress: (progress) => tracker.progress(progress) },
    connected: ({ mac, chip }) => {
      tracker.change({ mac, chip });
      requireOwnMac(port, mac, options.portOf);
    },
    named: (device) => tracker.change({ device }),
    ask: options.ask,
  });
}

/** Boards are told apart by their MAC: two with the same would get the same identity. @throws AIOT_FLASH_REFUSED */
function requireOwnMac(port: string, mac: string, portOf: Map<string, string> | undefined): void {
  const other = portOf?.get(mac) ?? port;
  if (other !== port)
    throw new AiotError(
      'AIOT_FLASH_REFUSED',
      `the board at ${port} has the MAC of the one at ${other}: ${mac}`,
      {
        next: 'If it is one board at two ports, name one of them. If two boards have this MAC, use one of them only: a fleet cannot tell them apart.',
      },
    );
  portOf?.set(mac, port);
}

/** Cable, noise, a chip that hung: another attempt may go well. A refusal will be one again. */
function mayHelp(error: AiotError): boolean {
  return error.family === 'outside' && error.code !== 'AIOT_INTERRUPTED' && error.exit !== 5;
}

/** One board while it is worked with: a row for people, a line for programs. */
export interface BoardRow {
  port: string;
  mac: string | null;
  chip: string | null;
  /** Whose identity it gets. */
  device: string | null;
  /** `again`: it failed and is tried once more. */
  stage: Stage | 'waiting' | 'again' | 'done' | 'failed';
  region: string | null;
  /** What tells of life in a stage that does not tell how far it is. */
  note: string | null;
  /** Bytes of this stage. */
  done: number;
  total: number;
  /** Bytes a second in this stage; null before it is known. */
  rate: number | null;
  /** To the end of this stage; null before it is known. */
  secondsLeft: number | null;
  attempt: number;
  error: string | null;
}

/** A rate from less than this is noise. */
const leastMs = 250;

function waitingRow(port: string): BoardRow {
  return {
    port,
    mac: null,
    chip: null,
    device: null,
    stage: 'waiting',
    region: null,
    note: null,
    done: 0,
    total: 0,
    rate: null,
    secondsLeft: null,
    attempt: 1,
    error: null,
  };
}

interface RowTracker {
  readonly row: BoardRow;
  change(values: Partial<BoardRow>): void;
  progress(progress: LoaderProgress): void;
}

/** Keeps the row of one board up to date, and tells each change. @param now milliseconds */
function trackRow(port: string, told: (row: BoardRow) => void, now: () => number): RowTracker {
  let row = waitingRow(port);
  let began = { at: now(), done: 0 };
  const change = (values: Partial<BoardRow>) => {
    row = { ...row, ...values };
    told(row);
  };
  return {
    get row() {
      return row;
    },
    change,
    progress({ stage, region, done, total, note = null }) {
      if (stage !== row.stage || region !== row.region || done < row.done) began = { at: now(), done };
      const ms = now() - began.at;
      const rate = ms >= leastMs && done > began.done ? ((done - began.done) / ms) * 1000 : null;
      const secondsLeft = rate === null ? null : (total - done) / rate;
      change({ stage, region, note, done, total, rate, secondsLeft });
    },
  };
}
