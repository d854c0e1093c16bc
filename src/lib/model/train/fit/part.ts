import { cellAt } from '../../../vision/grid.js';
import type { ObjectPoint } from '../../bundle/detections.js';
import type { Loss } from '../../engine/types.js';
import { type NetworkOutput, type NetworkSpec, outputSize } from '../../network/layers.js';

/** Standardized examples and their targets. */
export interface Part {
  /** [count × inputs], row-major. */
  inputs: Float32Array;
  inputSize: number;
  classes: Int32Array;
  /** Standardized values; null if the network does not predict values. */
  values: Float32Array | null;
  /** Objects in each picture, if the network finds objects. */
  objects?: readonly (readonly ObjectPoint[])[] | undefined;
  /** See Lesson. */
  recordings?: readonly string[] | undefined;
}

/** Loss for each kind of prediction. Values and reconstructions use the squared error. */
export function lossOf(output: NetworkOutput['kind']): Loss {
  if (output === 'objects') return 'cells';
  return output === 'classes' || output === 'probability' ? output : 'value';
}

/** Whether there are classes to predict. */
export function hasClasses(output: NetworkOutput['kind']): boolean {
  return output === 'classes' || output === 'probability';
}

/** Writes the named rows and their targets [rows × outputs] into buffers of sufficient length. For objects, `fillCells` writes the targets. */
export function fillBatch(
  { inputs, inputSize, classes, values }: Part,
  spec: NetworkSpec,
  rows: ArrayLike<number>,
  into: { inputs: Float32Array; targets: Float32Array },
): void {
  const outputs = outputSize(spec);
  const { kind } = spec.output;
  if (kind === 'classes') into.targets.fill(0, 0, rows.length * outputs);
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    const input = inputs.subarray(row * inputSize, (row + 1) * inputSize);
    into.inputs.set(input, i * inputSize);
    if (kind === 'classes') into.targets[i * outputs + classes[row]!] = 1;
    else if (kind === 'probability') into.targets[i] = classes[row]!;
    else if (kind === 'value') into.targets[i] = values![row]!;
    else if (kind === 'reconstruction') into.targets.set(input, i * outputs);
  }
}

/** Per class, total / (classes · count), so that every class has the same weight in the loss, regardless of its number of examples. */
function balancedWeights(classes: Int32Array, count: number): Float32Array {
  const seen = new Float64Array(count);
  for (const c of classes) seen[c]! += 1;
  return Float32Array.from(seen, (n) => (n === 0 ? 0 : classes.length / (count * n)));
}

/** Weight of each class in the loss, according to model.train.classWeights; null = 1. */
export function classFactors(
  classes: Int32Array,
  spec: Pick<NetworkSpec, 'output' | 'inputShape'>,
  by: 'balanced' | 'none',
): Float32Array | null {
  const { kind } = spec.output;
  if (by !== 'balanced' || !hasClasses(kind)) return null;
  return balancedWeights(classes, kind === 'probability' ? 2 : outputSize(spec));
}

type ObjectOutput = Extract<NetworkOutput, { kind: 'objects' }>;

/**
 * Writes the targets of one picture: the class of an object in the cell of its center, and background in all others, each with its weight.
 * If two objects share a cell, the first one counts.
 * @param weights of the background, and of each class
 * @param targets [rows × columns × count]
 */
export function fillCells(
  objects: readonly ObjectPoint[],
  { grid, count }: ObjectOutput,
  weights: Float32Array,
  targets: Float32Array,
): void {
  targets.fill(0);
  const cells = grid[0] * grid[1];
  for (let cell = 0; cell < cells; cell++) targets[cell * count] = weights[0]!;
  for (const { class: own, x, y } of objects) {
    const at = cellAt(x, y, grid) * count;
    if (targets[at] === 0) continue;
    targets[at] = 0;
    targets[at + 1 + own] = weights[1 + own]!;
  }
}

/**
 * Weights of the background and of each class in the loss. Almost all cells are background. The weight of an object is the square root of
 * the number of background cells per object of its class, a compromise between missed objects and false alarms.
 * @param by `none`: all classes have the same weight
 */
export function cellWeights(
  objects: readonly (readonly ObjectPoint[])[],
  { grid, count }: ObjectOutput,
  by: 'balanced' | 'none',
): Float32Array {
  const found = new Float64Array(count - 1);
  for (const own of objects) for (const { class: c } of own) found[c]!++;
  const all = found.reduce((sum, n) => sum + n, 0);
  const background = objects.length * grid[0] * grid[1] - all;
  const weightOf = (n: number) => Math.sqrt(Math.max(1, background / Math.max(1, n)));
  return Float32Array.of(1, ...Array.from(found, (n) => weightOf(by === 'balanced' ? n : all / (count - 1))));
}
