import type { Entry, TakeKey } from '../entry.js';
import { fieldsOf } from '../takes.js';

/** Samples of one message, in columns. */
export interface Samples {
  device: string;
  recording: string;
  /** null: the message has none. */
  seq: number | null;
  /** ms since 1970 of each sample. */
  t: number[];
  label: (string | null)[];
  /** Field → its values; a field that the message lacks is not in it. */
  columns: Map<string, number[]>;
}

/** Which samples are wanted, and what is said of each. */
export interface SampleFilter {
  from?: number | undefined;
  to?: number | undefined;
  /** Samples with another label (or none) are left out. */
  label?: string | undefined;
  labelAt: (t: number) => string | null;
}

/** The wanted samples of a message; null when there are none. Those of a batch lie 1000/rate ms apart from its time on. */
export function samplesOf(key: TakeKey, entry: Entry, filter: SampleFilter): Samples | null {
  const { device, recording } = key;
  const { seq, t: told, rate } = entry.payload;
  const fields = fieldsOf(entry.payload);
  const count = fields[0]?.[1].length ?? 0;
  const start = typeof told === 'number' ? told : entry.at;
  const stepMs = typeof rate === 'number' ? 1000 / rate : 0;
  const { from = -Infinity, to = Infinity, label: wanted, labelAt } = filter;
  const kept: number[] = [];
  const t: number[] = [];
  const label: (string | null)[] = [];
  for (let i = 0; i < count; i++) {
    const time = start + i * stepMs;
    if (time < from || time > to) continue;
    const said = labelAt(time);
    if (wanted !== undefined && said !== wanted) continue;
    kept.push(i);
    t.push(time);
    label.push(said);
  }
  if (kept.length === 0) return null;
  const columns = new Map(
    fields.map(([name, column]) => [
      name,
      kept.length === count ? column : kept.map((i) => column[i] as number),
    ]),
  );
  return { device, recording, seq: typeof seq === 'number' ? seq : null, t, label, columns };
}
