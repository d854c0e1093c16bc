import type { Prediction } from '../../model/bundle/predictor.js';
import type { ShadowFigures } from '../protocol/messages.js';
import type { LoadedModel } from '../runtime.js';

/** Number of most recent latencies to keep for each model. */
const kept = 1000;

/** Values count as different if they differ by more than this fraction of the larger one. */
const tolerance = 0.05;

/**
 * Compares two models over the same windows. Both start with the same sample, so their windows are identical if they
 * process signals identically. The device's own predictions are not affected.
 */
export class Shadow {
  private readonly sides: { active: Side; candidate: Side };
  private readonly counts = { windows: 0, disagreements: 0 };
  /** A prediction of the candidate that has not been paired with one of the active model yet. */
  private waiting: Prediction | null = null;

  constructor(
    readonly active: LoadedModel,
    readonly candidate: LoadedModel,
  ) {
    this.sides = { active: new Side(active), candidate: new Side(candidate) };
  }

  /** Records both models' predictions for the latest sample. */
  saw(active: Prediction | null, candidate: Prediction | null): void {
    if (candidate) {
      this.sides.candidate.time(candidate);
      this.waiting = candidate;
    }
    if (!active) return;
    this.sides.active.time(active);
    // If the models' strides differ, the window is compared with the candidate's newest prediction since the
    // previous window.
    if (!this.waiting) return;
    this.counts.windows++;
    if (!agree(active, this.waiting)) this.counts.disagreements++;
    this.sides.active.count(active);
    this.sides.candidate.count(this.waiting);
    this.waiting = null;
  }

  get figures(): ShadowFigures {
    const { active, candidate } = this.sides;
    return { ...this.counts, active: active.figures, candidate: candidate.figures };
  }
}

class Side {
  private readonly latencies: number[] = [];
  private timed = 0;
  private readonly labels = new Map<string, number>();

  constructor(private readonly model: LoadedModel) {}

  time({ latencyMs }: Prediction): void {
    this.latencies[this.timed++ % kept] = latencyMs;
  }

  count({ label }: Prediction): void {
    if (label !== null) this.labels.set(label, (this.labels.get(label) ?? 0) + 1);
  }

  get figures(): ShadowFigures['active'] {
    const sorted = [...this.latencies].sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    const { arenaBytes } = this.model;
    return { p50Ms: at(0.5), p95Ms: at(0.95), arenaBytes, labels: Object.fromEntries(this.labels) };
  }
}

function agree(a: Prediction, b: Prediction): boolean {
  if (a.label !== null || b.label !== null) return a.label === b.label;
  if (a.scores.length !== b.scores.length) return false;
  return a.scores.every((one, i) => {
    const other = b.scores[i] as number;
    return Math.abs(one - other) <= tolerance * Math.max(Math.abs(one), Math.abs(other));
  });
}
