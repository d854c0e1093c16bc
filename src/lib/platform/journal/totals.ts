import { inferenceSchema } from '../../device/protocol/messages.js';
import { countInference, emptyCounts, type LiveCounts } from '../../fleet/live.js';
import type { Entry } from './entry.js';
import { fieldsOf, type Take } from './takes.js';

export interface StreamTotals {
  name: string;
  /** Names of fields, in order of first appearance. */
  fields: string[];
  recordings: number;
  messages: number;
  samples: number;
  bytes: number;
  duplicates: number;
}

/** Maximum number of fields in a stream; a table with more columns is not a useful dataset. */
export const mostFields = 1024;

export function emptyStream(name: string): StreamTotals {
  return { name, fields: [], recordings: 0, messages: 0, samples: 0, bytes: 0, duplicates: 0 };
}

/** Fields of a message that are new to its stream. */
export function newFieldsOf({ fields }: StreamTotals, entry: Entry): string[] {
  const fresh: string[] = [];
  for (const [name] of fieldsOf(entry.payload)) if (!fields.includes(name)) fresh.push(name);
  return fresh;
}

/** A stream's totals without one of its recordings. */
export function withoutTake(totals: StreamTotals, take: Take): StreamTotals {
  return {
    ...totals,
    recordings: totals.recordings - (take.messages + take.duplicates > 0 ? 1 : 0),
    messages: totals.messages - take.messages,
    samples: totals.samples - take.samples,
    bytes: totals.bytes - take.bytes,
    duplicates: totals.duplicates - take.duplicates,
  };
}

/**
 * One count of a model's predictions: number of windows by class or smoothed class in a recording, by device, or by
 * latency.
 */
export interface LiveRow {
  /** `name@version` */
  model: string;
  kind: 'label' | 'voted' | 'device' | 'latency';
  /** `device/recording`, a device, or a latency bucket. */
  name: string;
  /** The class; empty if this kind of count has none. */
  answer: string;
  n: number;
}

/** Counts added by one inference; none for other entries and duplicates. */
export function liveRowsOf(entry: Entry): LiveRow[] {
  if (entry.channel !== 'inference' || entry.repeat) return [];
  const inference = inferenceSchema.safeParse(entry.payload);
  if (!inference.success) return [];
  const { model, recording = null, label, voted, latencyMs } = inference.data;
  const counts = emptyCounts();
  const { device } = entry;
  const named = { label: storable(label ?? ''), voted: storable(voted ?? '') };
  countInference(counts, { device, recording, ...named, latencyMs });
  const of = `${model.name}@${model.version}`;
  const rows: LiveRow[] = [];
  for (const [name, take] of Object.entries(counts.takes)) {
    for (const answer of Object.keys(take.label)) rows.push({ model: of, kind: 'label', name, answer, n: 1 });
    for (const answer of Object.keys(take.voted)) rows.push({ model: of, kind: 'voted', name, answer, n: 1 });
  }
  for (const name of Object.keys(counts.devices))
    rows.push({ model: of, kind: 'device', name, answer: '', n: 1 });
  for (const name of Object.keys(counts.latency))
    rows.push({ model: of, kind: 'latency', name, answer: '', n: 1 });
  return rows;
}

/** Maximum length of a class in a count, so that it fits into an index of PostgreSQL (2,704 bytes for a row). */
const longestClass = 256;

/** A device may send any text as a class. PostgreSQL stores neither NUL nor half of a surrogate pair. */
function storable(label: string): string {
  const text = label.slice(0, longestClass);
  return /[\0\ud800-\udfff]/.test(text) ? Buffer.from(text.replaceAll('\0', '\ufffd')).toString() : text;
}

/** Aggregates rows into counts. */
export function liveCountsOf(rows: Iterable<LiveRow>): LiveCounts {
  const counts = emptyCounts();
  for (const { kind, name, answer, n } of rows) {
    if (kind === 'device') add(counts.devices, name, n);
    else if (kind === 'latency') counts.latency[Number(name)] = (counts.latency[Number(name)] ?? 0) + n;
    else {
      if (!Object.hasOwn(counts.takes, name)) counts.takes[name] = { label: {}, voted: {} };
      add((counts.takes[name] as LiveCounts['takes'][string])[kind], answer, n);
    }
  }
  return counts;
}

/** A device may be named `constructor`, so inherited members must not be read as counts. */
function add(counts: Record<string, number>, key: string, n: number): void {
  counts[key] = (Object.hasOwn(counts, key) ? (counts[key] ?? 0) : 0) + n;
}
