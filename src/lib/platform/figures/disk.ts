import { dataSync, type Sync } from '../sync.js';
import type { Exposition } from './exposition.js';
import { countBounds, Histogram } from './histogram.js';

/** Notes that so many records became durable together, and how long that took. */
export type NoteCommit = (records: number, seconds: number) => void;

/** How the disk keeps up: how long a sync takes, and how many records share one. */
export class DiskFigures {
  private readonly syncs = new Map<string, Histogram>();
  private readonly sizes = new Map<string, Histogram>();
  private readonly times = new Map<string, Histogram>();

  /** The same sync, measured; one that fails counts too. @param part whose files: `journal`, `blobs`, … */
  sync(part: string, sync: Sync = dataSync): Sync {
    const histogram = new Histogram();
    this.syncs.set(part, histogram);
    return async (file) => {
      const begun = performance.now();
      try {
        await sync(file);
      } finally {
        histogram.note((performance.now() - begun) / 1000);
      }
    };
  }

  /** @param log what is written to in groups: `journal`, `sessions`, `postgres` */
  commits(log: string): NoteCommit {
    const sizes = new Histogram(countBounds);
    const times = new Histogram();
    this.sizes.set(log, sizes);
    this.times.set(log, times);
    return (records, seconds) => {
      sizes.note(records);
      times.note(seconds);
    };
  }

  tell(out: Exposition): void {
    out.histogram(
      'aiot_sync_duration_seconds',
      'Time that fsync of a file took.',
      labelled('part', this.syncs),
    );
    out.histogram(
      'aiot_commit_duration_seconds',
      'Time until what was written together was durable.',
      labelled('log', this.times),
    );
    out.histogram(
      'aiot_commit_records',
      'Records that became durable together.',
      labelled('log', this.sizes),
    );
  }
}

function* labelled(
  name: string,
  all: Map<string, Histogram>,
): Generator<[Record<string, string>, Histogram]> {
  for (const [value, histogram] of all) yield [{ [name]: value }, histogram];
}
