import type { Graph, Operator, Tensor } from './graph.js';

/**
 * The graph with a bias of zeros wherever a convolution has none: LiteRT does not load one with two inputs. Its
 * scales are input scale × weight scale, as of every bias (the quantization specification of TFLite).
 */
export function withConvolutionBias(graph: Graph): Graph {
  const bare = ({ op, inputs }: Operator) =>
    (op === 'CONV_2D' || op === 'DEPTHWISE_CONV_2D') && (inputs[2] ?? -1) === -1;
  if (!graph.operators.some(bare)) return graph;
  const tensors = [...graph.tensors];
  const operators = graph.operators.map((operator) => {
    if (!bare(operator)) return operator;
    tensors.push(zeroBias(operator, graph.tensors));
    const [input = 0, weights = 0] = operator.inputs;
    return { ...operator, inputs: [input, weights, tensors.length - 1] };
  });
  return { ...graph, tensors, operators };
}

function zeroBias({ inputs, outputs, op }: Operator, tensors: readonly Tensor[]): Tensor {
  const [input, weights, output] = [tensors[inputs[0]!]!, tensors[inputs[1]!]!, tensors[outputs[0]!]!];
  const channels = weights.shape[op === 'CONV_2D' ? 0 : 3] ?? 1;
  const tensor = { name: `${output.name}/bias`, shape: [channels] };
  const [inputScale, weightScales] = [input.quantization?.scale[0], weights.quantization?.scale];
  // Float weights and those of dynamic range go with a float bias.
  if (input.type === 'float32' || inputScale === undefined || weightScales === undefined)
    return { ...tensor, type: 'float32', data: new Float32Array(channels) };
  const scale = weightScales.map((value) => Math.fround(inputScale * value));
  const quantization = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
  if (input.type === 'int16')
    return { ...tensor, type: 'int64', data: new BigInt64Array(channels), quantization };
  return { ...tensor, type: 'int32', data: new Int32Array(channels), quantization };
}
