import type { Graph, Operator } from '../../formats/index.js';
import type { Noise } from './noise.js';
import { outputRules } from './rules.js';
import type { Kind, LayerReport, RangeMethod } from './types.js';

/**
 * What became of each activation of the float network.
 * @param twins its tensors → those of the quantized network
 */
export function reportOf(
  float: Graph,
  quantized: Graph,
  twins: ReadonlyMap<number, number>,
  methods: ReadonlyMap<number, RangeMethod>,
  noise: Noise | undefined,
): { sqnrDb: number | null; layers: LayerReport[] } {
  const line = (op: string, index: number, own: boolean): LayerReport => {
    const { type, quantization } = quantized.tensors[twins.get(index)!]!;
    return {
      op,
      tensor: float.tensors[index]!.name,
      type: type as Kind,
      calibration: own && type !== 'float32' ? (methods.get(index) ?? null) : null,
      scale: quantization?.scale[0] ?? null,
      zeroPoint: quantization?.zeroPoint[0] ?? null,
      sqnrDb: rounded(noise?.get(index)),
    };
  };
  const made = ({ op, outputs }: Operator) =>
    outputs.map((index) => line(op, index, outputRules[op] === 'own'));
  return {
    sqnrDb: rounded(noise?.get(float.outputs[0]!)),
    layers: [...float.inputs.map((index) => line('input', index, true)), ...float.operators.flatMap(made)],
  };
}

/** Two decimals: more would be noise of the rows. */
function rounded(value: number | undefined): number | null {
  return value === undefined ? null : Math.round(value * 100) / 100;
}
