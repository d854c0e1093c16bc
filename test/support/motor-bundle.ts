import { digestOf } from '../../src/lib/core/crypto.js';
import { readTflite } from '../../src/lib/formats/tflite/read.js';
import { writeTflite } from '../../src/lib/formats/tflite/write.js';
import { endOf, modeOf } from '../../src/lib/model/bundle/ends.js';
import { goldenVector } from '../../src/lib/model/bundle/golden.js';
import { packBundle, unpackBundle } from '../../src/lib/model/bundle/pack.js';
import { unknownProvenance } from '../../src/lib/model/bundle/schema.js';
import type { Bundle } from '../../src/lib/model/bundle/types.js';
import { tableBundle } from './any-bundle.js';
import { motorFile } from './motor-files.js';

/** Returns the rows of a table of the motor data, in sensor units, and their labels. */
export function motorReadings(name: 'train.csv' | 'test.csv'): { rows: number[][]; labels: number[] } {
  const cells = motorFile(name)
    .toString()
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(',').map(Number));
  return { rows: cells.map((row) => row.slice(0, 4)), labels: cells.map((row) => row[4]!) };
}

/** The motor model as a bundle. Readings are standardized as in its training, and the output is one probability. */
export function motorBundle(file: 'f32' | 'int8'): Bundle {
  const graph = readTflite(motorFile(`${file}.tflite`));
  const { mean, std } = JSON.parse(motorFile('weights.json').toString()) as { mean: number[]; std: number[] };
  const mode = modeOf(graph);
  const info: Bundle['info'] = {
    ...tableBundle('probability', 'float32').bundle.info,
    name: 'motor',
    standardization: { mean, deviation: std },
    answer: { kind: 'probability', threshold: 0.5 },
    quantization: { mode },
    input: endOf(graph, 'inputs'),
    output: endOf(graph, 'outputs'),
  };
  const model = writeTflite(graph);
  const golden = motorReadings('train.csv')
    .rows.slice(0, 4)
    .map((row, i) => goldenVector(graph, info, { recording: `row ${i + 1}`, samples: [row] }));
  const lineage = unknownProvenance(digestOf(model), mode);
  return unpackBundle(packBundle({ info, model, golden, lineage }));
}
