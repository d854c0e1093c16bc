import { AiotError } from '../../core/index.js';
import type { Graph } from '../../formats/index.js';
import { createInterpreter } from '../../runtime/index.js';
import type { Range } from './numbers.js';

/**
 * Runs a float network over the representative inputs and notes the range of every activation.
 * @returns by tensor index
 * @throws AIOT_QUANTIZE_UNFIT without inputs, or when a value overflows; AIOT_TFLITE_INPUT for an input that does not fit
 */
export function calibrate(graph: Graph, representative: Iterable<Float32Array>): Map<number, Range> {
  const interpreter = createInterpreter(graph);
  const ranges = new Map<number, Range>();
  for (const input of representative) {
    interpreter.invoke(input, (index, values) => {
      let range = ranges.get(index);
      if (!range) {
        range = { low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY };
        ranges.set(index, range);
      }
      for (let i = 0; i < values.length; i++) {
        const value = values[i]!;
        if (value < range.low) range.low = value;
        if (value > range.high) range.high = value;
        if (!Number.isFinite(value)) throw unfit(`tensor ${graph.tensors[index]?.name} became ${value}`);
      }
    });
  }
  if (ranges.size === 0) throw unfit('expected representative inputs, got none');
  return ranges;
}

export function unfit(message: string): AiotError {
  return new AiotError('AIOT_QUANTIZE_UNFIT', message);
}
