import type { LoaderProgress, Stage } from '../loader/types.js';

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

export function waitingRow(port: string): BoardRow {
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

export interface RowTracker {
  readonly row: BoardRow;
  change(values: Partial<BoardRow>): void;
  progress(progress: LoaderProgress): void;
}

/** Keeps the row of one board up to date, and tells each change. @param now milliseconds */
export function trackRow(port: string, told: (row: BoardRow) => void, now: () => number): RowTracker {
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
