import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Graph } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { quantizedOf } from '../../test/support/architectures.js';
import { FloatNetwork } from '../../test/support/float-network.js';

const fixture = (name: string) => () =>
  readTflite(readFileSync(join('firmware/test/fixtures/emitted', name, 'model.tflite')));

/**
 * The models that are timed: two of the firmware's fixtures, and two of realistic size. The latter have random weights, because the time
 * does not depend on them.
 */
export const networks = {
  /** The motor model, 4-60-30-10-1. */
  motor: { make: fixture('motor'), runs: 4000 },
  /** A small CNN over time. */
  waves: { make: fixture('waves'), runs: 500 },
  /** Activity recognition from 500 samples of three axes; 0.8 million multiply-adds. */
  har: { make: () => overTime(500), runs: 20 },
  /**
   * Keyword spotting from 49 spectra of 10 bands: a depthwise separable CNN with 2.7 million multiply-adds, like MLPerf Tiny's model.
   */
  keywords: { make: () => quantizedOf(keywords, 1), runs: 5 },
} satisfies Record<string, { make: () => Graph; runs: number }>;

/** The activity model, for windows of this many samples. */
export const overTime = (samples: number): Graph => quantizedOf((random) => har(random, samples), 1);

function har(random: () => number, samples: number): Graph {
  const n = new FloatNetwork(random);
  let x = n.float([1, 1, samples, 3]);
  x = n.convolution(x, 16, { filter: [1, 9], stride: [1, 2], padding: 'valid' }, 'relu');
  x = n.pool(x, 'MAX_POOL_2D', { filter: [1, 2], stride: [1, 2], padding: 'valid' });
  x = n.convolution(x, 32, { filter: [1, 7], padding: 'valid' }, 'relu');
  x = n.pool(x, 'MAX_POOL_2D', { filter: [1, 2], stride: [1, 2], padding: 'valid' });
  x = n.convolution(x, 32, { filter: [1, 5], padding: 'valid' }, 'relu');
  return n.graph(0, n.softmax(n.dense(n.overImage(x), 4)));
}

function keywords(random: () => number): Graph {
  const n = new FloatNetwork(random);
  let x = n.convolution(n.float([1, 49, 10, 1]), 64, { filter: [10, 4], stride: [2, 2] }, 'relu');
  for (let block = 0; block < 4; block++) {
    x = n.depthwise(x, 1, { filter: [3, 3] }, 'relu');
    x = n.convolution(x, 64, { filter: [1, 1] }, 'relu');
  }
  return n.graph(0, n.softmax(n.dense(n.overImage(x), 12)));
}
