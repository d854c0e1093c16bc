import type { Column, NumberColumn, TextColumn } from '../../formats/index.js';

/** Rows kept by column, wherever they come from; their order is the order of time. */
export interface Rows {
  /** The file or folder, as it was named. */
  name: string;
  from: 'csv' | 'recordings' | 'project';
  rows: number;
  /** What a sensor measured, or any other column that is neither of the following. */
  features: Column[];
  label: TextColumn | null;
  /** What a model said. */
  prediction: Column | null;
  /** Which take or device each row is of; rows of one are alike. */
  take: TextColumn | null;
  time: RowTimes | null;
  /** Samples a second, where a project tells it. */
  rateHz: number | null;
  /** Columns that were not looked at: counters, and those that were not asked for. */
  ignored: string[];
}

export interface RowTimes {
  /** The column. */
  name: string;
  /** Seconds: since 1970, or since whatever the column counts from. */
  seconds: Float64Array;
  sinceEpoch: boolean;
}

export interface RowsOptions {
  /** Column of the labels; absent = one called label, activity, class or state. */
  label?: string | undefined;
  /** Column of predictions; absent = one called prediction, predicted or inference. */
  prediction?: string | undefined;
  /** Column of time; absent = one called time, timestamp or the like. */
  time?: string | undefined;
  /** Columns to look at; absent = all. */
  columns?: readonly string[] | undefined;
}

export type { Column, NumberColumn, TextColumn };
