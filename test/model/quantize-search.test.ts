import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gaussian, seededRandom } from '../../src/lib/core/numbers.js';
import { elementCount, type Graph } from '../../src/lib/formats/tflite/graph.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { lossOf } from '../../src/lib/model/quantize/evaluation.js';
import { finetuned } from '../../src/lib/model/quantize/finetune.js';
import { calibrate } from '../../src/lib/model/quantize/graph/calibrate.js';
import { biasCorrected, equalized } from '../../src/lib/model/quantize/graph/corrections.js';
import {
  prepareGraph,
  quantizeGraph,
  quantizePrepared,
} from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { rangeBy } from '../../src/lib/model/quantize/graph/ranges.js';
import { createInterpreter } from '../../src/lib/runtime/interpreter/interpreter.js';
import { runCli } from '../support/cli.js';
import { FloatNetwork } from '../support/float-network.js';
import { temporaryFolder } from './support.js';

function rowsFor(graph: Graph, count: number, seed = 1): Float32Array[] {
  const random = seededRandom(seed);
  const length = elementCount(graph.tensors[graph.inputs[0]!]!.shape);
  return Array.from({ length: count }, () => Float32Array.from({ length }, () => gaussian(random)));
}

const answers = (graph: Graph, rows: Float32Array[]) => {
  const interpreter = createInterpreter(graph);
  return rows.map((row) => [...interpreter.invoke(row)]);
};

/** A constant of the graph, for tests to change in place. */
const weightsOf = (graph: Graph, operator: number, place = 1) =>
  graph.tensors[graph.operators[operator]!.inputs[place]!]!.data as Float32Array;

describe('an activation range', () => {
  const values = Float32Array.from({ length: 8000 }, (_, i) => (i === 0 ? 100 : Math.sin(i))).sort();
  const seen = {
    low: -1,
    high: 100,
    samples: values,
    mean: new Float64Array(1),
    largest: new Float64Array(1),
    extremes: [0, 0] as [number, number],
  };

  it('spans all values with min-max, and excludes rare values with percentile', () => {
    expect(rangeBy('min-max', seen)).toEqual({ low: -1, high: 100 });
    const { low, high } = rangeBy('percentile', seen);
    expect(high).toBeLessThanOrEqual(1);
    expect(low).toBeGreaterThanOrEqual(-1);
  });

  it('is narrowed by mse only if finer rounding outweighs clipping', () => {
    expect(rangeBy('mse', seen).high).toBeLessThan(100);
    const flat = {
      ...seen,
      low: 0,
      high: 1,
      samples: Float32Array.from({ length: 1000 }, (_, i) => i / 999),
    };
    expect(rangeBy('mse', flat)).toEqual({ low: 0, high: 1 });
  });

  it('is chosen per tensor by auto, without a noticeable loss at the output', () => {
    const n = new FloatNetwork(seededRandom(3));
    const x = n.float([1, 8]);
    const graph = n.graph(x, n.dense(n.dense(x, 16, 'relu'), 4));
    const rows = rowsFor(graph, 300);
    rows[7]!.fill(25);
    const by = (calibration: 'auto' | 'min-max') =>
      quantizeGraph(graph, rows, { mode: 'int8', calibration }).report;
    const noiseAt = (calibration: 'auto' | 'min-max') => by(calibration).sqnrDb!;
    expect(noiseAt('auto')).toBeGreaterThanOrEqual(noiseAt('min-max') - 0.5);
    expect(by('auto').layers.every(({ calibration }) => calibration !== null)).toBe(true);
  });
});

describe('equalization', () => {
  const n = new FloatNetwork(seededRandom(8));
  const x = n.float([1, 1, 12, 3]);
  const first = n.convolution(x, 8, { filter: [1, 3] }, 'relu');
  const pooled = n.pool(first, 'MAX_POOL_2D', { filter: [1, 2], stride: [1, 2] });
  const second = n.depthwise(pooled, 2, { filter: [1, 3] }, 'relu');
  const graph = n.graph(x, n.dense(n.overImage(second), 3));
  // Channels of very different sizes share the single scale of their tensor.
  const [filters, bias] = [weightsOf(graph, 0), weightsOf(graph, 0, 2)];
  const channel = filters.length / 8;
  filters.forEach((_, i) => {
    filters[i]! *= 4 ** (Math.floor(i / channel) % 4);
  });
  bias.forEach((_, c) => {
    bias[c]! *= 4 ** (c % 4);
  });
  weightsOf(graph, 2).forEach((_, i, all) => {
    all[i]! /= 4 ** (Math.floor((i % 16) / 2) % 4);
  });
  const rows = rowsFor(graph, 100);

  it('preserves outputs through pools and depthwise layers', () => {
    const { graph: balanced, pairs } = equalized(graph, calibrate(graph, rows));
    expect(pairs).toBe(2);
    const [want, got] = [answers(graph, rows), answers(balanced, rows)];
    want.forEach((row, i) => {
      row.forEach((value, k) => {
        expect(Math.abs(got[i]![k]! - value)).toBeLessThan(1e-4 * (1 + Math.abs(value)));
      });
    });
  });

  it('reduces the loss of unequal channels', () => {
    const settings = { mode: 'int8', calibration: 'min-max' } as const;
    const plain = quantizeGraph(graph, rows, settings).report.sqnrDb!;
    const balanced = quantizeGraph(graph, rows, { ...settings, equalize: true }).report;
    expect(balanced.sqnrDb!).toBeGreaterThan(plain + 3);
    expect(balanced.notes).toContain('equalized 2 pairs of layers');
  });
});

describe('bias correction', () => {
  it('reduces the mean output error of rounded weights', () => {
    const n = new FloatNetwork(seededRandom(12));
    const x = n.float([1, 1, 10, 4]);
    const graph = n.graph(x, n.overImage(n.convolution(x, 6, { filter: [1, 3], padding: 'valid' })));
    const rows = rowsFor(graph, 200).map((row) => row.map((value) => value + 3));
    // One large weight per channel makes the quantization steps wide.
    const data = weightsOf(graph, 0);
    for (let c = 0; c < 6; c++) data[c * 12] = 20;
    const error = (quantized: Graph) => {
      const interpreter = createInterpreter(quantized);
      const mean = new Float64Array(6);
      const want = answers(graph, rows);
      rows.forEach((row, i) => {
        interpreter.invoke(row).forEach((value, c) => {
          mean[c]! += (value - want[i]![c]!) / rows.length;
        });
      });
      return mean.reduce((sum, value) => sum + Math.abs(value), 0);
    };
    const settings = { mode: 'int8', io: 'float32', calibration: 'min-max' } as const;
    const plain = error(quantizeGraph(graph, rows, settings).graph);
    expect(error(quantizeGraph(graph, rows, { ...settings, biasCorrection: true }).graph)).toBeLessThan(
      plain / 3,
    );
    const corrected = biasCorrected(graph, calibrate(graph, rows), ['float32', 'float32']);
    expect(corrected.tensors).toEqual(graph.tensors);
  });
});

describe('fine-tuning', () => {
  it('follows the float model better than rounding alone, without labels', async () => {
    const n = new FloatNetwork(seededRandom(4));
    const x = n.float([1, 8]);
    const float = prepareGraph(n.graph(x, n.softmax(n.dense(n.dense(x, 16, 'relu'), 4))));
    // One weight in each row hardly matters, but makes the steps of all the others wide.
    const data = weightsOf(float, 0);
    for (let row = 0; row < 16; row++) data[row * 8] = 12;
    // The inputs are correlated, as real inputs are, so that rounding errors can cancel each other.
    const rows = rowsFor(float, 400).map((row) =>
      row.map((_, i) => (i === 0 ? 0.01 : 1) * (row[0]! * Math.sin(i) + row[1]! * Math.cos(2 * i))),
    );
    const settings = { mode: 'int8', calibration: 'min-max' } as const;
    const logits = (graph: Graph) =>
      quantizePrepared(graph, rows, settings, { reference: float }).report.layers.at(-2)!.sqnrDb!;
    const told: string[] = [];
    const tuned = await finetuned(float, rows, settings, { epochs: 30, onStep: (text) => told.push(text) });
    expect(logits(tuned)).toBeGreaterThan(logits(float) + 1);
    expect(told.at(-1)).toBe('fine-tuning, epoch 30 of 30');
  });
});

describe('the accuracy loss', () => {
  it('is the paired difference in points, with a wider interval for groups', () => {
    const float = Array.from({ length: 400 }, (_, i) => i % 10 !== 0);
    const quantized = float.map((hit, i) => hit && i >= 12);
    const alone = lossOf(float, quantized, null, 2);
    expect(alone).toMatchObject({ rows: 400, points: 2.5, limit: 2, passed: false });
    expect(alone.method).toContain('Agresti');
    const groups = float.map((_, i) => String(Math.floor(i / 40)));
    const grouped = lossOf(float, quantized, groups, null);
    expect(grouped).toMatchObject({ points: 2.5, passed: null });
    expect(grouped.interval[1] - grouped.interval[0]).toBeGreaterThan(alone.interval[1] - alone.interval[0]);
  });
});

describe('--max-loss', () => {
  /** Writes a model, and rows labeled with its own predictions; returns the command line. */
  async function given(graph: Graph, rows: Float32Array[]) {
    const folder = await temporaryFolder();
    const [file, data, out] = ['float.tflite', 'rows.csv', 'out.tflite'].map((name) =>
      join(folder, name),
    ) as [string, string, string];
    await writeFile(file, writeTflite(graph));
    const labels = answers(graph, rows).map((scores) => scores.indexOf(Math.max(...scores)));
    const head = [...rows[0]!.keys()].map((i) => `x${i}`).join(',');
    await writeFile(
      data,
      `${head},label\n${rows.map((row, i) => `${[...row].join(',')},${labels[i]}`).join('\n')}\n`,
    );
    return {
      out,
      argv: ['model', 'quantize', file, '--data', data, '--out', out, '--max-loss', '1', '--json'],
    };
  }

  it('uses int16 for the most expensive part, lists its attempts, and stays runnable on devices', async () => {
    const n = new FloatNetwork(seededRandom(6));
    const x = n.float([1, 6]);
    const logits = n.dense(n.dense(x, 12, 'relu'), 4);
    const graph = n.graph(x, n.softmax(logits));
    // All scores share a large component, so that int8 has no steps left to distinguish them.
    const [last] = graph.operators.slice(1);
    last!.inputs[2] =
      graph.tensors.push({ name: 'bias', shape: [4], type: 'float32', data: new Float32Array(4).fill(400) }) -
      1;
    const { argv, out } = await given(graph, rowsFor(graph, 300));
    const { json, code } = await runCli(argv);
    expect(code).toBe(0);
    const { steps, loss, ops } = json as {
      steps: { did: string; points: number }[];
      loss: object;
      ops: { op: string }[];
    };
    expect(steps[0]).toMatchObject({ did: 'as asked' });
    expect(steps[0]!.points).toBeGreaterThan(1);
    expect(steps.at(-1)!.did).toMatch(/^int16 for operator \d+ \(FULLY_CONNECTED\)/);
    expect(loss).toMatchObject({ passed: true, limit: 1 });
    expect(ops.map(({ op }) => op)).toContain('QUANTIZE');
    const written = readTflite((await import('node:fs')).readFileSync(out));
    expect(new Set(written.tensors.map(({ type }) => type))).toContain('int16');
    expect(() => createInterpreter(written)).not.toThrow();
  });

  it('exits with 6 and the closest attempt, writing nothing, if no attempt is enough', async () => {
    const n = new FloatNetwork(seededRandom(2));
    const x = n.float([1, 2]);
    const graph = n.graph(x, n.dense(x, 2));
    // The deciding input is a thousandth of the next one, so it is lost in int8 inputs.
    weightsOf(graph, 0).set([0, 1, 0, -1]);
    if (graph.operators[0]!.inputs[2] !== -1) weightsOf(graph, 0, 2).fill(0);
    const rows = rowsFor(graph, 200).map((row) => Float32Array.of(row[0]! * 1000, row[1]!));
    const { argv, out } = await given(graph, rows);
    const { json, code } = await runCli(argv);
    expect(code).toBe(6);
    expect(json).toMatchObject({
      error: {
        code: 'AIOT_QUANTIZE_LOSS',
        message: expect.stringMatching(/the closest \(.*\) loses [\d.]+ points/),
      },
    });
    expect(existsSync(out)).toBe(false);
  });
});
