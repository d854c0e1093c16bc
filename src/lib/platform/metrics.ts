import { dataSync, type Sync } from '../core/append-log.js';
import { type Exposition, Histogram } from '../core/prometheus.js';

/** Upper bounds of the histogram buckets for batch sizes. */
const countBounds = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 4000];

/** Called after a group commit with the number of records that became durable and the duration. */
export type NoteCommit = (records: number, seconds: number) => void;

/** Disk metrics: the duration of a sync, and the number of records written per sync. */
export class DiskFigures {
  private readonly syncs = new Map<string, Histogram>();
  private readonly sizes = new Map<string, Histogram>();
  private readonly times = new Map<string, Histogram>();
  readonly ingest = new Histogram();

  /**
   * Wraps a sync to measure its duration; failed syncs count too.
   * @param part owner of the files: `journal`, `blobs`, …
   */
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

  /** @param log name of a log with group commits: `journal`, `sessions`, `postgres` */
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

  /** Measures how long a device's message takes to be stored; rejected messages do not count. */
  async stored(storing: Promise<void>): Promise<void> {
    const begun = performance.now();
    await storing;
    this.ingest.note((performance.now() - begun) / 1000);
  }

  tell(out: Exposition): void {
    out.histogram('aiot_ingest_duration_seconds', "Time to store a device's message durably.", [
      [{}, this.ingest],
    ]);
    out.histogram('aiot_sync_duration_seconds', 'Duration of an fsync.', byLabel('part', this.syncs));
    out.histogram('aiot_commit_duration_seconds', 'Duration of a group commit.', byLabel('log', this.times));
    out.histogram('aiot_commit_records', 'Records that became durable together.', byLabel('log', this.sizes));
  }
}

function* byLabel(name: string, all: Map<string, Histogram>): Generator<[Record<string, string>, Histogram]> {
  for (const [value, histogram] of all) yield [{ [name]: value }, histogram];
}
