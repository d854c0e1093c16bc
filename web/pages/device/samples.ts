import type { DeviceMessage } from '../../../src/lib/api/index.js';

/** Members of a telemetry message that are not fields (see protocol v1). */
const members = new Set(['seq', 't', 'rate', 'recording']);
/** Number of recent batches whose delays determine the right edge of the plot. */
const delaysKept = 30;

/** The newest samples of one stream for a moving plot. Times are in s since 1970 by the device's clock. */
export class Samples {
  readonly times: number[] = [];
  readonly columns = new Map<string, (number | null)[]>();
  private readonly delays: number[] = [];

  /** @param pauseSeconds longer pauses between samples are gaps */
  constructor(
    private readonly keptSeconds: number,
    private readonly pauseSeconds = 2,
  ) {}

  /** @param now arrival time, s since 1970 by this browser's clock; absent for samples from before the page was opened */
  add({ at, payload }: DeviceMessage, now?: number): void {
    const fields = fieldsOf(payload);
    const count = Math.max(0, ...fields.map(([, column]) => column.length));
    const begin = Number(payload.t ?? at) / 1000;
    const step = typeof payload.rate === 'number' ? 1 / payload.rate : 0;
    const last = this.times.at(-1);
    if (now !== undefined && last !== undefined) {
      // The age of the newest sample before this batch. A plot drawn with this delay always has data up to its right
      // edge.
      this.delays.push(now - last);
      if (this.delays.length > delaysKept) this.delays.shift();
    }
    if (last !== undefined && begin - last > this.pauseSeconds) this.push(last + 1e-3, new Map());
    for (let i = 0; i < count; i++) {
      const time = begin + i * step;
      if (time <= (this.times.at(-1) ?? Number.NEGATIVE_INFINITY)) continue;
      this.push(time, new Map(fields.map(([name, column]) => [name, column[i] ?? null])));
    }
    this.forget();
  }

  /** The current right edge of the plot, s since 1970 by the device's clock. */
  edge(now: number): number {
    const last = this.times.at(-1) ?? now;
    return this.delays.length === 0
      ? last
      : Math.max(last - this.keptSeconds, now - Math.max(...this.delays));
  }

  private push(time: number, values: Map<string, number | null>): void {
    for (const name of values.keys()) {
      if (!this.columns.has(name)) this.columns.set(name, new Array(this.times.length).fill(null));
    }
    this.times.push(time);
    for (const [name, column] of this.columns) column.push(values.get(name) ?? null);
  }

  /** Removes samples that are too old, but only in large numbers, because removing the first samples moves all others. */
  private forget(): void {
    const from = (this.times.at(-1) ?? 0) - this.keptSeconds;
    const first = this.times.findIndex((time) => time >= from);
    if (first < 500 || first < this.times.length / 2) return;
    this.times.splice(0, first);
    for (const column of this.columns.values()) column.splice(0, first);
  }
}

function fieldsOf(payload: Record<string, unknown>): [name: string, column: number[]][] {
  const fields: [string, number[]][] = [];
  for (const [name, value] of Object.entries(payload)) {
    if (members.has(name)) continue;
    if (typeof value === 'number') fields.push([name, [value]]);
    else if (Array.isArray(value) && value.every((one) => typeof one === 'number'))
      fields.push([name, value]);
  }
  return fields;
}
