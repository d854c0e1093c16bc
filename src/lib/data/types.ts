/** An object in a picture, as a box in pixels of the stored picture. The origin is the upper left corner of the picture. */
export interface ObjectBox {
  label: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** One continuous take by one device. A split never divides it. */
export interface Recording {
  /** Unique in its dataset; a file name without extension, such as `walking1`. */
  id: string;
  /** The operator's label; null = not labeled. */
  label: string | null;
  /** The device's name, or null if unknown. */
  device: string | null;
  /** Samples per second, Hz. */
  rateHz: number;
  /** Time of the first sample in ms since 1970, or null if unknown. */
  startedAt: number | null;
  /** Number of messages lost from the recording, by their sequence numbers; absent = not counted. */
  missing?: number;
  fields: string[];
  /** One column per field, all of the same length (samples). */
  columns: Float64Array[];
  /** `wav`: sound, which is stored as 16-bit PCM. `png`: a picture. Absent = stored as CSV. */
  format?: 'wav' | 'png';
  /** Size of a picture, in pixels; its samples are its pixels, row by row. */
  size?: { width: number; height: number };
  /** Objects in a picture. Empty = the picture shows none; absent = the picture is not annotated. */
  boxes?: ObjectBox[];
  /** Rate of the file from which the recording was resampled, Hz; absent = not resampled. */
  originalHz?: number;
}

export interface Dataset {
  name: string;
  fields: string[];
  rateHz: number;
  /** Sorted by id. */
  recordings: Recording[];
  /** `sha256:…` over fields, rate, and each recording's ID, label and samples: equal data yields an equal digest. Boxes are included. */
  digest: string;
}

/**
 * IDs of recordings. `validation` is for early stopping and model selection, `test` for the metrics; neither is used for training. In a
 * split by window, every recording is on all three sides, and `windowParts` assigns the windows.
 */
export interface Split {
  by: 'recording' | 'device' | 'time' | 'window' | 'row' | 'group';
  seed: number;
  train: string[];
  validation: string[];
  test: string[];
}

export const findingKinds = [
  /** The same signal on two sides of a split, or twice in one dataset (only a warning). */
  'leak',
  /** Rows that repeat the previous row: the recorder polled faster than the sensor measured. In tables, equal and nearly equal rows. */
  'repeats',
  /** Classes or recordings whose sensors measured at different rates. */
  'rate',
  /** Labels that can be predicted without the signal: by device, day, length or recording method. */
  'shortcut',
  'imbalance',
  /** A constant field while others move. */
  'stuck',
  /** Axes swapped or inverted compared with the other recordings. */
  'swapped',
  /** Values in a unit other than that of the other recordings. */
  'unit',
  /** A constant offset compared with the other recordings. */
  'offset',
  /** Single samples that differ greatly from the neighbors on both sides. */
  'spikes',
  'saturation',
  /** Features or a low-pass that exclude the frequencies in which the classes differ. */
  'band',
  /** Missing samples or messages, or a recorder that stopped. */
  'gap',
  /** Values outside the project's plausible range. */
  /** Timestamps that repeat, decrease or do not change, and columns that are named like a time column but contain no times. */
  'time',
  'range',
  'short',
  'not-a-number',
  'label',
  /** Objects that a grid of cells cannot tell apart, and classes or pictures without objects. */
  'objects',
  /** A column that identifies rows, times or devices instead of measuring something. */
  'identifier',
  /** A column with the same content as another one. */
  'duplicate',
  /** Values far from all others in their column. */
  'outliers',
] as const;

/** The values of a finding by name, for programs. */
export type Evidence = Record<
  string,
  number | string | boolean | null | (number | string)[] | Record<string, number | string | null>
>;

/** `certain`: counted in the data; `likely`: very unlikely to be chance; `possible`: should be checked. */
export const confidences = ['certain', 'likely', 'possible'] as const;

/** A finding of `data check`. An `error` makes metrics meaningless, a `warning` is reported, `info` is a remark. */
export interface Finding {
  kind: (typeof findingKinds)[number];
  severity: 'error' | 'warning' | 'info';
  /** Absent = certain. */
  confidence?: (typeof confidences)[number];
  /** IDs of the recordings; without a project, the files' paths within the folder. */
  files: string[];
  evidence: Evidence;
  /** One sentence with numbers. */
  message: string;
  /** The remedy, applied or suggested. */
  advice: string;
}
