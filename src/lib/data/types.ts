/** One continuous take by one device: the unit that a split keeps whole. */
export interface Recording {
  /** Unique in its dataset; a file name without extension, such as `walking1`. */
  id: string;
  /** The operator's label; null = not labelled. */
  label: string | null;
  /** The device's name, or null when not known. */
  device: string | null;
  /** Samples a second, Hz. */
  rateHz: number;
  /** Milliseconds since 1970 of the first sample, or null when not known. */
  startedAt: number | null;
  /** Messages known to be lost from it, by the numbers they bore; absent = nobody counted. */
  missing?: number;
  fields: string[];
  /** One column a field, all of the same length (samples). */
  columns: Float64Array[];
}

export interface Dataset {
  name: string;
  fields: string[];
  rateHz: number;
  /** Sorted by id. */
  recordings: Recording[];
  /** `sha256:…` over fields, rate, and each recording's id, label and samples: equal data, equal digest. */
  digest: string;
}

/**
 * Ids of recordings. `validation` is for stopping and choosing, `test` for the figures; both are never trained on. By
 * `window` every recording stands on all three sides, and `windowParts` tells which of its windows are where.
 */
export interface Split {
  by: 'recording' | 'device' | 'time' | 'window' | 'row' | 'group';
  seed: number;
  train: string[];
  validation: string[];
  test: string[];
}

export const findingKinds = [
  /** The same signal twice: on two sides of a split, or (a warning then) in one dataset. */
  'leak',
  /** Rows that repeat the row before: the recorder asked more often than the sensor measured. */
  'repeats',
  /** Classes whose sensors measured at different rates. */
  'rate',
  /** Labels that can be told without the signal: by device, day, length or the way of recording. */
  'shortcut',
  'imbalance',
  /** A field that does not move while others do. */
  'stuck',
  /** Axes exchanged or turned round against the other recordings. */
  'swapped',
  'saturation',
  /** Samples or messages that are missing, or a recorder that stood still. */
  'gap',
  /** Values outside what the project calls plausible. */
  'range',
  'short',
  'not-a-number',
  'label',
] as const;

/** A figure of a finding: data, not text. */
export type Evidence = Record<
  string,
  number | string | boolean | null | (number | string)[] | Record<string, number | string | null>
>;

/** What `data check` found. An `error` makes figures a fiction, a `warning` is told, `info` is a remark. */
export interface Finding {
  kind: (typeof findingKinds)[number];
  severity: 'error' | 'warning' | 'info';
  /** Ids of the recordings; where no project names them, the files' paths within the folder. */
  files: string[];
  evidence: Evidence;
  /** One sentence with figures. */
  message: string;
  /** The remedy, applied or suggested. */
  advice: string;
}
