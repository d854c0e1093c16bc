import { digestOf } from '../../core/index.js';
import { operatorVersions, type Quantization, writeTflite } from '../../formats/index.js';
import { arenaOf } from '../inspect/arena-of.js';
import type { QuantizeResult } from './result.js';
import type { Quantized } from './types.js';

/** A quantized network as the file that will be written, and what is told of it. */
export type Outcome = Omit<
  QuantizeResult,
  'model' | 'file' | 'floatBytes' | 'windows' | 'standardized' | 'emitted'
> & {
  /** The .tflite file. */
  contents: Uint8Array;
};

/**
 * @param metadata bytes of the file's TFLITE_METADATA entry
 * @throws AIOT_TFLITE_MALFORMED
 */
export function outcomeOf(
  { graph, report }: Quantized,
  { steps, loss }: Pick<QuantizeResult, 'steps' | 'loss'>,
  metadata: Uint8Array | null,
): Outcome {
  const contents = writeTflite(graph, { metadata: metadata ?? undefined });
  const versions = operatorVersions(graph);
  const end = (index: number | undefined) => endOf(graph.tensors[index ?? -1]?.quantization);
  return {
    contents,
    mode: report.mode,
    io: report.io,
    bytes: contents.length,
    digest: digestOf(contents),
    ops: graph.operators.map(({ op }) => ({ op, version: versions.get(op)! })),
    sqnrDb: report.sqnrDb,
    input: end(graph.inputs[0]),
    output: end(graph.outputs[0]),
    layers: report.layers,
    steps,
    loss,
    arenaBytes: arenaOf(graph),
    notes: report.notes,
  };
}

function endOf(quantization: Quantization | undefined): QuantizeResult['input'] {
  const [scale, zeroPoint] = [quantization?.scale[0], quantization?.zeroPoint[0]];
  return scale === undefined || zeroPoint === undefined ? null : { scale, zeroPoint };
}
