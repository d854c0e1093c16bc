import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/lib/core/numbers.js';
import { detailOf } from '../../src/lib/model/quantize/detail.js';
import { prepareGraph, quantizePrepared } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { FloatNetwork } from '../support/float-network.js';

/** Two dense layers with three classes. */
function network() {
  const build = new FloatNetwork(seededRandom(3));
  const x = build.float([1, 4]);
  return prepareGraph(build.graph(x, build.dense(build.dense(x, 8, 'relu'), 3)));
}

/** Rows with values spread evenly over ±most. */
const rows = (most: number, count = 300) =>
  Array.from({ length: count }, (_, i) =>
    Float32Array.from({ length: 4 }, (_, j) => (((i * 7 + j * 31) % 101) / 50 - 1) * most),
  );

describe('the quantization error report', () => {
  it('covers each tensor: value distributions, clipping, and the largest error', () => {
    const compared = quantizePrepared(network(), rows(1), { mode: 'int8', calibration: 'min-max' });
    const { spreads, weights, agreement } = detailOf(compared, rows(1));
    const [input] = spreads;
    expect(input!.range![0]).toBeCloseTo(-1, 1);
    for (const { clipped, float, quantized } of spreads) {
      expect(clipped).toBe(0);
      expect(float.reduce((sum, share) => sum + share)).toBeCloseTo(1);
      expect(quantized.reduce((sum, share) => sum + share)).toBeCloseTo(1);
    }
    // Half a step of 2/255, plus the rounding error of single precision.
    expect(input!.error).toBeLessThan(1 / 255 + 1e-4);
    expect(weights.map(({ channels }) => channels)).toEqual([8, 3]);
    for (const { sqnrDb } of weights) expect(sqnrDb).toBeGreaterThan(35);
    expect(agreement).toBeGreaterThan(0.97);
  });

  it('shows values outside the calibrated range', () => {
    const compared = quantizePrepared(network(), rows(1), { mode: 'int8', calibration: 'min-max' });
    const [input] = detailOf(compared, rows(3)).spreads;
    expect(input!.clipped).toBeCloseTo(2 / 3, 1);
    expect(input!.error).toBeCloseTo(2, 1);
  });

  it('shows no error if nothing was rounded', () => {
    const compared = quantizePrepared(network(), rows(1), { mode: 'float32' });
    const { spreads, weights, agreement, meanError } = detailOf(compared, rows(1));
    expect({ agreement, meanError, weights }).toEqual({ agreement: 1, meanError: 0, weights: [] });
    expect(spreads.every(({ error, range }) => error === 0 && range === null)).toBe(true);
  });
});
