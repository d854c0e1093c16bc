import { malformed } from './errors.js';
import type { Graph, Tensor } from './graph.js';
import { operatorRows } from './operators.js';
import type { ReadRow } from './shape-operators.js';
import { elementCount, isDataOf } from './tensor-types.js';

/**
 * Refuses a graph that contradicts itself: indices without a tensor, data that does not fill its shape, an operator
 * before the one that makes its input, a tensor made twice.
 * @throws AIOT_TFLITE_MALFORMED
 */
export function checkGraph(graph: Graph): void {
  graph.tensors.forEach(checkTensor);
  const known = new Set(graph.inputs);
  const ready = (index: number) => known.has(index) || graph.tensors[index]?.data !== undefined;
  for (const index of graph.inputs)
    if (graph.tensors[index] === undefined) throw malformed('inputs', `there is no tensor ${index}`);
  graph.operators.forEach(({ op, inputs, outputs, options }, position) => {
    const where = `operator ${position} (${op})`;
    const row: ReadRow = operatorRows[op];
    const made = row.outputs?.(options as never) ?? 1;
    if (inputs.length < row.inputs[0] || inputs.length > row.inputs[1] || outputs.length !== made)
      throw malformed(where, `${inputs.length} inputs and ${outputs.length} outputs`);
    inputs.forEach((index, place) => {
      // Only what comes after the least number of inputs may be left out, and no part of a list.
      if (index === -1 && place >= row.inputs[0] && op !== 'CONCATENATION') return;
      if (!ready(index)) throw malformed(where, `its input, tensor ${index}, is not made before it`);
    });
    for (const output of outputs) {
      if (graph.tensors[output] === undefined) throw malformed(where, `there is no tensor ${output}`);
      if (ready(output)) throw malformed(where, `its output, tensor ${output}, is already made`);
      known.add(output);
    }
  });
  for (const index of graph.outputs)
    if (!ready(index)) throw malformed('outputs', `tensor ${index} is made by no operator`);
}

function checkTensor({ name, shape, type, data, quantization }: Tensor, index: number): void {
  const where = `tensor ${index} (${name})`;
  if (shape.some((size) => !Number.isInteger(size) || size < 1))
    throw malformed(where, `expected positive dimensions, got [${shape}]`);
  if (data !== undefined && !isDataOf(type, data))
    throw malformed(where, `its data is not an array of ${type}`);
  if (data !== undefined && data.length !== elementCount(shape))
    throw malformed(where, `expected ${elementCount(shape)} elements, got ${data.length}`);
  if (quantization === undefined) return;
  const { scale, zeroPoint, axis } = quantization;
  if (scale.length === 0 || scale.length !== zeroPoint.length)
    throw malformed(where, `${scale.length} scales but ${zeroPoint.length} zero points`);
  // A file holds single precision: a longer number would mean another network once written.
  const long = scale.find((value) => Math.fround(value) !== value);
  if (long !== undefined) throw malformed(where, `expected a float32 scale (Math.fround), got ${long}`);
  if (scale.length > 1 && shape[axis] !== scale.length)
    throw malformed(where, `${scale.length} scales for dimension ${axis} of [${shape}]`);
}
