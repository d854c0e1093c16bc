import { inferenceSchema } from '../../../device/protocol/messages.js';
import { countInference, emptyCounts, type LiveCounts } from '../../../fleet/live.js';
import type { Entry } from '../entry.js';
import { fieldsOf, type Take } from '../takes.js';
import type { Statements } from './database.js';

/** What is known of one stream. */
export interface StreamTotals {
  name: string;
  /** In the order in which they were first seen. */
  fields: string[];
  recordings: number;
  messages: number;
  samples: number;
  bytes: number;
  duplicates: number;
}

/** Fields that one stream may have: a table of more columns is nobody's dataset. */
export const mostFields = 1024;

export function emptyStream(name: string): StreamTotals {
  return { name, fields: [], recordings: 0, messages: 0, samples: 0, bytes: 0, duplicates: 0 };
}

/** Fields of a message that its stream has not had before. */
export function newFieldsOf({ fields }: StreamTotals, entry: Entry): string[] {
  const fresh: string[] = [];
  for (const [name] of fieldsOf(entry.payload)) if (!fields.includes(name)) fresh.push(name);
  return fresh;
}

/** What is left of a stream without one of its recordings. */
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

/** One count of a model's answers: of windows by label or vote in a recording, by device, or by latency. */
export interface LiveRow {
  /** `name@version` */
  model: string;
  kind: 'label' | 'voted' | 'device' | 'latency';
  /** `device/recording`, the device, or the bucket of the latency. */
  name: string;
  /** The class; empty where the kind has none. */
  answer: string;
  n: number;
}

/** What one inference adds; nothing when it is none, or a repeat. */
export function liveRowsOf(entry: Entry): LiveRow[] {
  if (entry.channel !== 'inference' || entry.repeat) return [];
  const inference = inferenceSchema.safeParse(entry.payload);
  if (!inference.success) return [];
  const { model, recording = null, label, voted, latencyMs } = inference.data;
  const counts = emptyCounts();
  const { device } = entry;
  countInference(counts, { device, recording, label: label ?? '', voted: voted ?? '', latencyMs });
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

/** Adds what one inference adds to rows that are not written yet. */
export function countLive(waiting: Map<string, LiveRow>, entry: Entry): void {
  for (const row of liveRowsOf(entry)) {
    const text = `${row.model}/${row.kind}/${row.name}/${row.answer}`;
    const known = waiting.get(text);
    if (known) known.n += row.n;
    else waiting.set(text, row);
  }
}

/** Those of the recordings (`device/recording`) for which any model's answers are counted, written or waiting. */
export function predictedOf(
  sql: Statements,
  waiting: Iterable<LiveRow>,
  recordings: readonly string[],
): Set<string> {
  const unwritten = new Set([...waiting].filter(({ kind }) => kind === 'label').map(({ name }) => name));
  const select = "SELECT 1 FROM live WHERE name = ? AND kind = 'label' LIMIT 1";
  return new Set(recordings.filter((name) => unwritten.has(name) || sql.get(select, name)));
}

/** The counts that rows add up to. */
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

/** A device may be named `constructor`: inherited members are no counts. */
function add(counts: Record<string, number>, key: string, n: number): void {
  counts[key] = (Object.hasOwn(counts, key) ? (counts[key] ?? 0) : 0) + n;
}
