import type { BundleInfo, Prediction } from '../../model/index.js';
import type { Ballot } from '../vote/index.js';

/** What a prediction says in a vote; null where the model answers with values, which nobody votes on. */
export function ballotOf(
  info: Pick<BundleInfo, 'answer' | 'classes'>,
  prediction: Prediction,
  t: number,
): Ballot | null {
  const { label, scores, value } = prediction;
  if (label === null) return null;
  const { answer, classes } = info;
  if (answer.kind !== 'reconstruction') return { label, classes, shares: scores, t };
  // An error as large as the threshold speaks for both alike.
  const error = value ?? 0;
  const anomaly = error + answer.threshold === 0 ? 0 : error / (error + answer.threshold);
  return { label, classes, shares: [1 - anomaly, anomaly], t };
}
