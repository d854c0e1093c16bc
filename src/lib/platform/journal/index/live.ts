import { inferenceSchema } from '../../../device/index.js';
import { countInference, emptyCounts, type LiveCounts } from '../../../fleet/index.js';
import type { Entry } from '../entry.js';

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
