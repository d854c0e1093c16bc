/** Samples of one message, in the contract's fields. */
export interface Rows {
  count: number;
  /** `count × fields`. */
  values: Float64Array;
  /** When each was taken, or when the first was, as it stands there; absent = nothing says. */
  stamps: unknown[];
  /** Samples a second that the message names. */
  rateHz: number | null;
  /** Number of the message. */
  seq: number | null;
  /** Name of the continuous take that it belongs to. */
  take: string | null;
  /** Who measured it. */
  device: string | null;
}

/** Why a message is no sample. */
export interface NoRows {
  why: string;
  /** It is one that lacks something, and not a message of another kind. */
  broken: boolean;
}

export const isRows = (of: Rows | NoRows): of is Rows => 'values' in of;
