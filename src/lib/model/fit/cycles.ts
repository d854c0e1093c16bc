import { elementCount, type Graph, type Operator } from '../../formats/index.js';
import { multiplyAdds } from '../inspect/costs.js';
import { precisionAt } from '../inspect/precision.js';
import { type KernelCosts, kernelCosts } from './kernels.js';

/** What one operator costs on a family of cores. */
export interface LayerCost {
  index: number;
  op: string;
  macs: number;
  cycles: number;
  /** Which kernels were counted with: the vector library's for int8, or TFLite Micro's reference ones. */
  kernels: 'library' | 'reference';
  costs: KernelCosts;
}

/** Input channels below which a convolution counts as thin. */
const thinChannels = 8;

/** Cycles of every operator of a graph, in order: multiply-adds or elements times the kernel's cost, and its call. */
export function layerCycles(graph: Graph, core: keyof typeof kernelCosts): LayerCost[] {
  return graph.operators.map((operator, index) => {
    const isInt8 = precisionAt(graph, operator) === 'int8';
    const costs = isInt8 ? kernelCosts[core].int8 : kernelCosts[core].reference;
    const macs = multiplyAdds(graph, operator);
    return {
      index,
      op: operator.op,
      macs,
      cycles: Math.round(costs.call + workOf(graph, operator, macs, costs)),
      kernels: isInt8 ? 'library' : 'reference',
      costs,
    };
  });
}

function workOf(
  { tensors }: Graph,
  { op, inputs, outputs, options }: Operator,
  macs: number,
  costs: KernelCosts,
) {
  const made = outputs.reduce((sum, index) => sum + elementCount(tensors[index]!.shape), 0);
  const taken = elementCount(tensors[inputs[op === 'SPLIT' ? 1 : 0]!]!.shape);
  switch (op) {
    case 'CONV_2D': {
      const channels = tensors[inputs[1]!]!.shape[3] ?? 0;
      return macs * (channels < thinChannels ? costs.thinConvolution : costs.convolution);
    }
    case 'DEPTHWISE_CONV_2D':
      return macs * costs.depthwise;
    case 'FULLY_CONNECTED':
      return macs * costs.dense;
    case 'MAX_POOL_2D':
      return made * options.filterH * options.filterW * costs.maxPool;
    case 'AVERAGE_POOL_2D':
      return made * options.filterH * options.filterW * costs.averagePool;
    case 'MEAN':
    case 'REDUCE_MAX':
      return taken * costs.averagePool;
    case 'ADD':
    case 'SUB':
      return made * costs.add;
    case 'MUL':
      return made * costs.multiply;
    case 'RELU':
    case 'RELU6':
      return made * costs.activation;
    case 'LEAKY_RELU':
    case 'QUANTIZE':
    case 'DEQUANTIZE':
      return made * costs.rescale;
    case 'SOFTMAX':
    case 'LOGISTIC':
    case 'TANH':
      return made * costs.transcendental;
    default:
      return made * costs.copy;
  }
}
