/** A number with separators: 521639 becomes `521,639`. */
export function thousands(value: number): string {
  return value.toLocaleString('en-US');
}

/** A number for people: whole numbers in full, others with at most six significant digits, without the noise of binary fractions. */
export function readable(value: number): string {
  return Number.isInteger(value) || !Number.isFinite(value)
    ? String(value)
    : String(Number(value.toPrecision(6)));
}

/** A count with its noun: 1 and 'recording' become `1 recording`, 1200 becomes `1,200 recordings`. */
export function plural(count: number, noun: string): string {
  return `${thousands(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** A share in percent: 0.9712 becomes `97.1 %`. */
export function percent(share: number, digits = 1): string {
  return `${(share * 100).toFixed(digits)} %`;
}

/** A share measured on cases that were sampled in groups, such as windows from the same recording. */
export interface MeasuredShare {
  share: number;
  cases: number;
  /** The unit in which cases are counted. */
  unit: 'window' | 'row' | 'picture';
  /** Number of groups; null if the cases are independent. */
  groups: number | null;
  /** The 95 % interval of the share. */
  interval: readonly [number, number] | null;
}

/** The standard wording of an accuracy everywhere: `98.2 % of 113 windows in 12 recordings (95 %: 90.1–99.7)`. */
export function shareText({ share, cases, unit, groups, interval }: MeasuredShare): string {
  const short = (value: number) => (100 * value).toFixed(1).replace(/\.0$/, '');
  const within = groups === null ? '' : ` in ${plural(groups, unit === 'row' ? 'group' : 'recording')}`;
  const range = interval ? ` (95 %: ${short(interval[0])}–${short(interval[1])})` : '';
  return `${short(share)} % of ${plural(cases, unit)}${within}${range}`;
}

/** Metrics pooled over all folds; see `foldsFiguresSchema`. */
interface FoldsFigures {
  folds: number;
  windows: number;
  groups: number | null;
  accuracy: number | null;
  interval: readonly [number, number] | null;
  macroF1: number | null;
  rmse: number | null;
  voted: { macroF1: number } | null;
}

/** Metrics over all folds: `98.1 % of 475 windows in 35 recordings (95 %: 96.2–99.1), macro-F1 0.981, 0.993 smoothed; 5 folds, float`. */
export function foldsText(of: FoldsFigures, unit: MeasuredShare['unit']): string {
  const { folds, windows, groups, accuracy, interval, macroF1, rmse, voted } = of;
  const parts =
    accuracy === null
      ? [`${plural(windows, unit)}`]
      : [shareText({ share: accuracy, cases: windows, unit, groups, interval })];
  if (macroF1 !== null) parts.push(`macro-F1 ${macroF1.toFixed(3)}`);
  if (voted) parts.push(`${voted.macroF1.toFixed(3)} smoothed`);
  if (rmse !== null) parts.push(`RMSE ${rmse.toPrecision(4)}`);
  return `${parts.join(', ')}; ${plural(folds, 'fold')}, float`;
}

/**
 * A gate's limit and measured value as text: sizes with a unit, scores with three decimals. A failed value that would read like its
 * limit gets more digits.
 */
export function gateValues(gate: { name: string; limit: number; got: number | null; passed: boolean }): {
  limit: string;
  got: string | null;
} {
  const { name, limit, got, passed } = gate;
  const inBytes = name === 'arena' || name === 'bytes';
  // These may be too small for three decimals.
  const isSmall = name === 'drop' || name === 'mae' || name === 'rmse';
  const fixed = (digits: number) => (value: number) => value.toFixed(digits);
  const formats = inBytes
    ? [size, (value: number) => plural(value, 'byte')]
    : name === 'macs'
      ? [thousands]
      : [...(isSmall ? [] : [fixed(3)]), fixed(4)];
  const isClear = (show: (value: number) => string) => passed || got === null || show(got) !== show(limit);
  const show = formats.find(isClear) ?? readable;
  const isCount = inBytes || name === 'macs';
  return { limit: isCount ? show(limit) : String(limit), got: got === null ? null : show(got) };
}

/** Objects in a picture, such as `nut at 20, 31 (97 %), bolt at 70, 12 (88 %)`. */
export function detectionsText(
  detections: readonly { label: string; x: number; y: number; confidence: number }[],
): string {
  const shown = detections.map(
    ({ label, x, y, confidence }) =>
      `${label} at ${Math.round(x)}, ${Math.round(y)} (${Math.round(100 * confidence)} %)`,
  );
  return shown.length === 0 ? 'no objects' : shown.join(', ');
}

/** Values of a model's other outputs, such as `speed 1.204, wear 0.1 0.9`. */
export function extraText(extra: Readonly<Record<string, readonly number[]>>): string {
  const short = (value: number) => String(Number(value.toPrecision(4)));
  return Object.entries(extra)
    .map(([name, values]) => `${name} ${values.map(short).join(' ')}`)
    .join(', ');
}

/** A size: 1536 becomes `1.5 KiB`. The format for file and memory sizes on the terminal, in the dashboard and in reports. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

/**
 * Parses a decimal number such as `0.5` or `-3`. NaN for words, and for other strings that JavaScript would accept: '', `0x10`, `1e3`,
 * `Infinity`.
 */
export function decimalOf(text: string): number {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
}

/** A duration: 1 234 567 ms becomes `20 min 35 s`, 87 becomes `87 ms`. */
export function elapsed(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

const units: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** Converts a size such as `32KiB`, or a number, to bytes. The schema has already checked the format. */
export function bytesOf(size: number | string): number {
  if (typeof size === 'number') return size;
  const [, digits = '0', unit = 'B'] = /^(\d+) ?(B|KiB|MiB|GiB)$/.exec(size) ?? [];
  return Number(digits) * (units[unit] ?? 1);
}

/** An address, offset or size in hexadecimal, padded with zeros: `0x0009`. */
export function hex(value: number, digits = 0): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** The time since `ms` in one unit: `now`, `40 s ago`, `3 min ago`, `5 h ago`, `12 d ago`. */
export function ago(ms: number, now: number): string {
  return now - ms < 5000 ? 'now' : `${lasting(now - ms)} ago`;
}

/** A duration, rounded down, in the largest unit that gives about two or more: `40 s`, `3 min`, `5 h`, `12 d`. */
export function lasting(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 90 * 60) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
