import type { Recording } from '../../data/types.js';
import type { Built } from '../build-folder.js';
import type { RejectSpec } from '../bundle/types.js';
import { divisionOf, examplesOfPart } from '../train/examples/parts.js';
import { standardizeAll } from '../train/examples/standardize.js';
import type { Examples } from '../train/types.js';
import { type Outputs, rejectedShare } from './rejection.js';
import type { SensorDrop } from './result.js';
import { judge, reconstructionErrors } from './verdict.js';

/** Settings that turn outputs into predictions. */
interface Deciding {
  /** Thresholds from model.reject, to show whether rejection detects a failed sensor. */
  reject: RejectSpec | undefined;
  /** Costs that the predictions minimize. */
  costs: readonly number[] | undefined;
}

/**
 * Measures the quantized network on the test set while one field is missing. All samples of the field are replaced by the field's mean over
 * the training recordings, as a device does for a failed sensor. In a table, the columns are the fields.
 */
export function sensorDrop(built: Built, outputsOf: Outputs, deciding: Deciding): SensorDrop[] {
  const { training, rows } = built;
  const { fields } = training.signal;
  return fields.map((field, f) => {
    const value = rows ? training.standardization.mean[f]! : meanOf(built, field);
    const pieces = rows ? columnPieces(built, f, value) : [examplesWithout(built, field, value)];
    return { field, value, ...measure(built, outputsOf, pieces, deciding) };
  });
}

/** A field's mean over the training recordings. */
function meanOf({ dataset, training }: Built, field: string): number {
  const trained = new Set(training.split.train);
  let [sum, count] = [0, 0];
  for (const recording of dataset.recordings) {
    if (!trained.has(recording.id)) continue;
    for (const sample of recording.columns[recording.fields.indexOf(field)] ?? []) sum += sample;
    count += recording.columns[0]?.length ?? 0;
  }
  return count === 0 ? 0 : sum / count;
}

function examplesWithout({ dataset, training }: Built, field: string, value: number): Examples {
  const without = (recording: Recording): Recording => {
    const at = recording.fields.indexOf(field);
    const columns = recording.columns.map((column, f) =>
      f === at ? new Float64Array(column.length).fill(value) : column,
    );
    return { ...recording, columns };
  };
  const tested = new Set(training.split.test);
  const recordings = dataset.recordings.map((each) => (tested.has(each.id) ? without(each) : each));
  return examplesOfPart({ dataset: { ...dataset, recordings }, rows: null }, divisionOf(training), 'test');
}

function* columnPieces(built: Built, column: number, value: number): Iterable<Examples> {
  for (const piece of built.part('test').pieces()) {
    const inputs = piece.inputs.slice();
    for (let at = column; at < inputs.length; at += piece.inputSize) inputs[at] = value;
    yield { ...piece, inputs };
  }
}

function measure(
  { training }: Built,
  outputsOf: Outputs,
  pieces: Iterable<Examples>,
  { reject, costs }: Deciding,
): Omit<SensorDrop, 'field' | 'value'> {
  const { network, classes, threshold, standardization } = training;
  const { kind } = network.output;
  const outputs: number[] = [];
  const truth: number[] = [];
  const values: number[] = [];
  let [rejected, width] = [0, 1];
  const run = outputsOf();
  for (const piece of pieces) {
    const said = run(piece);
    const rows = piece.classes.length;
    const own = said.length / rows;
    const inputs = standardizeAll(piece, standardization);
    const scores = kind === 'reconstruction' ? reconstructionErrors(inputs, said, own) : said;
    if (kind !== 'reconstruction') width = own;
    for (const score of scores) outputs.push(score);
    truth.push(...piece.classes);
    if (piece.values) values.push(...piece.values);
    if (reject) rejected += rows * rejectedShare({ reject, costs }, piece, said, standardization);
  }
  const { accuracy, macroF1, mae, rmse } = judge({
    kind,
    outputs: Float64Array.from(outputs),
    width,
    inputs: null,
    truth: Int32Array.from(truth),
    values,
    classes,
    threshold,
    costs,
    resample: false,
  });
  return { accuracy, macroF1, mae, rmse, rejected: reject ? rejected / truth.length : null };
}
