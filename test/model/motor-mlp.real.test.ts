import { describe, expect, it } from 'vitest';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { lossOf } from '../../src/lib/model/quantize/evaluation.js';
import { quantizeGraph } from '../../src/lib/model/quantize/graph/quantize-graph.js';
import { motorFile } from '../support/motor-files.js';
import { describeReal } from '../support/real.js';
import { runInPython } from '../support/tflite.js';

/** Returns the rows of a table of the motor data, standardized for the model, and their labels. */
function table(name: string): { rows: Float32Array[]; labels: number[] } {
  const { mean, std } = JSON.parse(motorFile('weights.json').toString()) as { mean: number[]; std: number[] };
  const lines = motorFile(name).toString().trim().split('\n').slice(1);
  const cells = lines.map((line) => line.split(',').map(Number));
  return {
    rows: cells.map((row) => Float32Array.from(row.slice(0, 4), (value, i) => (value - mean[i]!) / std[i]!)),
    labels: cells.map((row) => row[4]!),
  };
}

const theirs = { float32: 'f32', float16: 'f16', dynamic: 'dyn', int8: 'int8', int16x8: 'i16x8' } as const;

describe('files from TensorFlow’s converter, for the same model and rows', () => {
  describeReal('litert', 'in LiteRT', () => {
    it.each(Object.entries(theirs) as [keyof typeof theirs, string][])(
      '%s: ours is at most 2 %% larger and not significantly less accurate',
      (mode, name) => {
        const { rows } = table('train.csv');
        const { rows: test, labels } = table('test.csv');
        const peer = motorFile(`${name}.tflite`);
        const { graph, report } = quantizeGraph(readTflite(motorFile('f32.tflite')), rows, { mode });
        const ours = writeTflite(graph);
        const input = Float32Array.from(test.flatMap((row) => [...row]));
        const [mine, other] = runInPython('litert', [
          { graph: ours, input, real: true },
          // Their file has a dynamic batch dimension; reading and writing it here sets the batch to 1.
          { graph: writeTflite(readTflite(peer)), input, real: true },
        ]).map(({ output }) =>
          [...new Float32Array(output.slice().buffer)].map((p, row) => (p >= 0.5 ? 1 : 0) === labels[row]),
        );
        expect(mine).toHaveLength(labels.length);
        const { points, interval } = lossOf(other!, mine!, null, null);
        expect(interval[0], `${mode} loses ${points} points`).toBeLessThanOrEqual(0);
        expect(points).toBeLessThan(0.5);
        expect(ours.length).toBeLessThanOrEqual(peer.length * 1.02);
        expect(report.sqnrDb).toBeGreaterThan(35);
      },
    );
  });
});
