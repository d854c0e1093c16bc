export type Labels = Readonly<Record<string, string>>;

/** Samples of one metric: a value for each set of labels, or a histogram for each. */
export type MetricFamily = { name: string; help: string } & (
  | { type: 'counter' | 'gauge'; samples: readonly (readonly [Labels | undefined, number])[] }
  | { type: 'histogram'; samples: readonly (readonly [Labels, Histogram])[] }
);

/** Collects metrics, family by family. Names end with their unit; counters end with `_total`. */
export class Exposition {
  /** A family without samples is omitted. */
  readonly families: MetricFamily[] = [];

  gauge(name: string, help: string, value: number, labels?: Labels): void {
    this.family('gauge', name, help, [[labels, value]]);
  }

  /** @param name ends with `_total` */
  counter(name: `${string}_total`, help: string, value: number): void {
    this.family('counter', name, help, [[undefined, value]]);
  }

  /** Adds a family with one sample for each set of labels. */
  family(
    type: 'counter' | 'gauge',
    name: string,
    help: string,
    rows: Iterable<readonly [Labels | undefined, number]>,
  ): void {
    const samples = [...rows];
    if (samples.length > 0) this.families.push({ type, name, help, samples });
  }

  histogram(name: string, help: string, series: Iterable<readonly [Labels, Histogram]>): void {
    const samples = [...series];
    if (samples.length > 0) this.families.push({ type: 'histogram', name, help, samples });
  }

  /** The metrics in Prometheus' text format 0.0.4. */
  text(): string {
    return `${this.families.flatMap(linesOf).join('\n')}\n`;
  }
}

function linesOf(family: MetricFamily): string[] {
  const { type, name, help } = family;
  const head = [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
  if (family.type !== 'histogram')
    return [...head, ...family.samples.map(([labels, value]) => `${name}${labelText(labels)} ${value}`)];
  const lines = family.samples.flatMap(([labels, histogram]) =>
    histogram
      .samples()
      .map(
        ({ suffix, le, value }) => `${name}${suffix}${labelText(le ? { ...labels, le } : labels)} ${value}`,
      ),
  );
  return [...head, ...lines];
}

function labelText(labels: Labels = {}): string {
  const all = Object.entries(labels).map(([name, value]) => `${name}="${labelValue(value)}"`);
  return all.length === 0 ? '' : `{${all.join(',')}}`;
}

/** A label's value in Prometheus' text format 0.0.4: only backslashes, quotes and newlines are escaped. */
function labelValue(text: string): string {
  return text.replace(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`));
}

/** Upper bounds of the buckets for durations, s. */
const secondsBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

export class Histogram {
  /** Observations per bucket, not cumulative; the last bucket is for everything above the bounds. */
  private readonly buckets: number[];
  private sum = 0;

  /** @param bounds inclusive upper bounds, ascending */
  constructor(readonly bounds: readonly number[] = secondsBounds) {
    this.buckets = bounds.map(() => 0).concat(0);
  }

  note(value: number): void {
    const at = this.bounds.findIndex((bound) => value <= bound);
    const index = at < 0 ? this.bounds.length : at;
    this.buckets[index] = (this.buckets[index] ?? 0) + 1;
    this.sum += value;
  }

  /** Observations per bucket, not cumulative; one more than the bounds. */
  get counts(): readonly number[] {
    return this.buckets;
  }

  get total(): number {
    return this.sum;
  }

  /** Samples in the order that Prometheus requires: cumulative buckets by ascending bound, `_sum`, `_count`. */
  samples(): { suffix: '_bucket' | '_sum' | '_count'; le?: string; value: number }[] {
    let count = 0;
    const rows = this.buckets.map((n, i) => {
      count += n;
      return { suffix: '_bucket' as const, le: String(this.bounds[i] ?? '+Inf'), value: count };
    });
    return [...rows, { suffix: '_sum', value: this.sum }, { suffix: '_count', value: count }];
  }
}
