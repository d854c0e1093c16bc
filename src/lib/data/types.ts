/** One continuous take by one device: the unit that a split keeps whole. */
export interface Recording {
  /** Unique in its dataset; a file name without extension, such as `walking1`. */
  id: string;
  /** What was recorded, as the operator said it; null = not labelled. */
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

/** Ids of recordings. `validation` is for stopping and choosing, `test` for the figures; both are never trained on. */
export interface Split {
  by: 'recording' | 'device' | 'time' | 'window';
  seed: number;
  train: string[];
  validation: string[];
  test: string[];
}

/** What `data check` found. `error` stops training, `warning` is told. */
export interface Finding {
  check: 'gap' | 'repeat' | 'artefact' | 'copy' | 'range' | 'label' | 'short' | 'not-a-number';
  severity: 'error' | 'warning' | 'info';
  recordings: string[];
  /** One sentence with figures. */
  message: string;
  /** What was done or can be done about it. */
  advice: string;
}
