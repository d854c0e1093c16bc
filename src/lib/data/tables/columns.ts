/** Column names that indicate a role. All other columns are sensor fields. */
const timeNames = [
  't',
  'time',
  'timestamp',
  'ts',
  'datetime',
  'date',
  'time_s',
  'time_ms',
  'time_us',
  'seconds',
];

const labelNames = ['label', 'activity', 'class', 'state'];
const deviceNames = ['device', 'device_id', 'deviceid', 'sensor_id', 'subject', 'user'];

/** Columns of the platform's exports that contain the take of a row; they are not fields. */
const takeNames = ['recording', 'recording_id'];

const counterNames = ['index', 'row', 'seq', 'sample', 'n'];

interface ColumnRoles {
  time: string | null;
  label: string | null;
  device: string | null;
  take: string | null;
  counter: string[];
  fields: string[];
}

/** @param labelColumn a column declared as the label, whatever its name */
export function rolesOf(columns: string[], labelColumn?: string): ColumnRoles {
  const find = (names: string[]) => columns.find((name) => names.includes(name.toLowerCase())) ?? null;
  const time = find(timeNames);
  const label = labelColumn ?? find(labelNames);
  const device = find(deviceNames);
  const counter = columns.filter((name) => counterNames.includes(name.toLowerCase()));
  const take = find(takeNames);
  const others = [time, label, device, take, ...counter];
  return { time, label, device, take, counter, fields: columns.filter((name) => !others.includes(name)) };
}

/**
 * Converts times to seconds. The unit of numbers follows from the column's name (s, ms, us) or their magnitude (times since 1970, in s to
 * ns). For other numbers, it is ms if the median step is at least 1, otherwise s. Other text is parsed as dates. Null if any value is not a
 * time.
 */
export function secondsOf(name: string, texts: string[]): Float64Array | null {
  const out = new Float64Array(texts.length);
  const numeric = /^[-+.\deE]+$/.test(texts[0] ?? '');
  for (let i = 0; i < texts.length; i++) {
    out[i] = numeric ? Number(texts[i]) : Date.parse(texts[i]!) / 1000;
    if (!Number.isFinite(out[i]!)) return null;
  }
  if (!numeric) return out;
  const unit = secondsPerUnit(name, out);
  for (let i = 0; i < out.length; i++) out[i] = out[i]! * unit;
  return out;
}

/** Larger times, in seconds, are since 1970; smaller ones have another origin. */
const epochSeconds = 1e8;

export function isEpoch(seconds: number): boolean {
  return seconds > epochSeconds;
}

/** Seconds per unit of a time column. */
export function secondsPerUnit(name: string, values: Float64Array): number {
  if (/ms$/i.test(name)) return 1e-3;
  if (/us$/i.test(name)) return 1e-6;
  if (/_s$|^seconds$/i.test(name)) return 1;
  const size = Math.abs(values[0] ?? 0);
  if (size > 1e17) return 1e-9;
  if (size > 1e14) return 1e-6;
  if (size > 1e11) return 1e-3;
  if (isEpoch(size)) return 1;
  return medianStep(values) >= 1 ? 1e-3 : 1;
}

/** Median difference between neighbors. */
export function medianStep(values: Float64Array): number {
  if (values.length < 2) return 0;
  const steps = new Float64Array(values.length - 1);
  for (let i = 0; i < steps.length; i++) steps[i] = values[i + 1]! - values[i]!;
  return steps.sort()[steps.length >> 1]!;
}
