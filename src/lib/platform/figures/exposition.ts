import { labelValue } from '../../core/index.js';
import type { Histogram } from './histogram.js';

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
    const samples = [...rows].map(([labels, value]) => `${name}${labelled(labels)} ${value}`);
    if (samples.length > 0) this.lines.push(...headOf(name, type, help), ...samples);
  }

  histogram(name: string, help: string, series: Iterable<readonly [Labels, Histogram]>): void {
    const samples = [...series].flatMap(([labels, histogram]) =>
      histogram
        .samples()
        .map(
          ({ suffix, le, value }) => `${name}${suffix}${labelled(le ? { ...labels, le } : labels)} ${value}`,
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

function labelled(labels: Labels = {}): string {
  const all = Object.entries(labels).map(([name, value]) => `${name}="${labelValue(value)}"`);
  return all.length === 0 ? '' : `{${all.join(',')}}`;
}
