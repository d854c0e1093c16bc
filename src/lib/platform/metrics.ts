import { labelValue } from '../core/text.js';
import { dataSync, type Sync } from './sync.js';

export type Labels = Readonly<Record<string, string>>;

/** Text in Prometheus' format 0.0.4, one family after the other. Names end with their unit; counters end with `_total`. */
export class Exposition {
  private readonly lines: string[] = [];

  gauge(name: string, help: string, value: number, labels?: Labels): void {
    this.family('gauge', name, help, [[labels, value]]);
  }

  /** @param name ends with `_total` */
  counter(name: `${string}_total`, help: string, value: number): void {
    this.family('counter', name, help, [[undefined, value]]);
  }

  /** One sample for each set of labels; a family without samples is left out. */
  family(
    type: 'counter' | 'gauge',
    name: string,
    help: string,
    rows: Iterable<readonly [Labels | undefined, number]>,
  ): void {
    const samples = [...rows].map(([labels, value]) => `${name}${labelText(labels)} ${value}`);
    if (samples.length > 0) this.lines.push(...headOf(name, type, help), ...samples);
  }

  histogram(name: string, help: string, series: Iterable<readonly [Labels, Histogram]>): void {
    const samples = [...series].flatMap(([labels, histogram]) =>
      histogram
        .samples()
        .map(
          ({ suffix, le, value }) => `${name}${suffix}${labelText(le ? { ...labels, le } : labels)} ${value}`,
        ),
    );
    if (samples.length > 0) this.lines.push(...headOf(name, 'histogram', help), ...samples);
  }

  text(): string {
    return `${this.lines.join('\n')}\n`;
  }
}

function headOf(name: string, type: string, help: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function labelText(labels: Labels = {}): string {
  const all = Object.entries(labels).map(([name, value]) => `${name}="${labelValue(value)}"`);
  return all.length === 0 ? '' : `{${all.join(',')}}`;
}

/** Upper bounds of buckets for times, s. */
const secondsBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** Upper bounds of buckets for how many were written together. */
const countBounds = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 4000];

/** How often what was measured was how large, as Prometheus wants it. */
export class Histogram {
  /** Observations a bucket, not summed up; the last is for all that is above the bounds. */
  private readonly buckets: number[];
  private sum = 0;

  /** @param bounds upper bounds, rising; a value that is equal to one counts there */
  constructor(private readonly bounds: readonly number[] = secondsBounds) {
    this.buckets = bounds.map(() => 0).concat(0);
  }

  note(value: number): void {
    const at = this.bounds.findIndex((bound) => value <= bound);
    const index = at < 0 ? this.bounds.length : at;
    this.buckets[index] = (this.buckets[index] ?? 0) + 1;
    this.sum += value;
  }

  /** Samples in the order that Prometheus wants: rising buckets that are summed up, `_sum`, `_count`. */
  samples(): { suffix: '_bucket' | '_sum' | '_count'; le?: string; value: number }[] {
    let count = 0;
    const rows = this.buckets.map((n, i) => {
      count += n;
      return { suffix: '_bucket' as const, le: String(this.bounds[i] ?? '+Inf'), value: count };
    });
    return [...rows, { suffix: '_sum', value: this.sum }, { suffix: '_count', value: count }];
  }
}

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
      byLabel('part', this.syncs),
    );
    out.histogram(
      'aiot_commit_duration_seconds',
      'Time until what was written together was durable.',
      byLabel('log', this.times),
    );
    out.histogram('aiot_commit_records', 'Records that became durable together.', byLabel('log', this.sizes));
  }
}

function* byLabel(name: string, all: Map<string, Histogram>): Generator<[Record<string, string>, Histogram]> {
  for (const [value, histogram] of all) yield [{ [name]: value }, histogram];
}
