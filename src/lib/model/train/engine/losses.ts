import type { Loss } from './types.js';

/**
 * Loss of a batch, and its gradient for the outputs. Sums run in double precision.
 * @param outputs [rows × size]
 * @param gradient [rows × size], overwritten
 */
export function lossOf(
  loss: Loss,
  outputs: Float32Array,
  targets: Float32Array,
  weights: Float32Array | null,
  rows: number,
  gradient: Float32Array,
): number {
  const size = outputs.length / rows;
  const ofRow = rowLosses[loss];
  let total = 0;
  for (let row = 0; row < rows; row++) {
    const weight = (weights?.[row] ?? 1) / rows;
    const from = row * size;
    total += weight * ofRow(outputs, targets, from, from + size, weight, gradient);
  }
  return total;
}

type RowLoss = (
  z: Float32Array,
  t: Float32Array,
  from: number,
  end: number,
  weight: number,
  gradient: Float32Array,
) => number;

const rowLosses: Record<Loss, RowLoss> = {
  // −Σ t·log softmax(z); its gradient is softmax(z)·Σt − t.
  classes: (z, t, from, end, weight, gradient) => {
    let most = Number.NEGATIVE_INFINITY;
    for (let i = from; i < end; i++) if (z[i]! > most) most = z[i]!;
    let [powers, share, hit] = [0, 0, 0];
    for (let i = from; i < end; i++) {
      powers += Math.exp(z[i]! - most);
      share += t[i]!;
      hit += t[i]! * (z[i]! - most);
    }
    for (let i = from; i < end; i++) {
      gradient[i] = weight * ((Math.exp(z[i]! - most) / powers) * share - t[i]!);
    }
    return share * Math.log(powers) - hit;
  },
  // max(z, 0) − z·t + log(1 + e^−|z|); its gradient is sigmoid(z) − t.
  probability: (z, t, from, end, weight, gradient) => {
    let loss = 0;
    const size = end - from;
    for (let i = from; i < end; i++) {
      const small = Math.exp(-Math.abs(z[i]!));
      loss += Math.max(z[i]!, 0) - z[i]! * t[i]! + Math.log1p(small);
      const sigmoid = z[i]! >= 0 ? 1 / (1 + small) : small / (1 + small);
      gradient[i] = (weight * (sigmoid - t[i]!)) / size;
    }
    return loss / size;
  },
  value: (z, t, from, end, weight, gradient) => {
    let loss = 0;
    const size = end - from;
    for (let i = from; i < end; i++) {
      const difference = z[i]! - t[i]!;
      loss += difference * difference;
      gradient[i] = (2 * weight * difference) / size;
    }
    return loss / size;
  },
};
