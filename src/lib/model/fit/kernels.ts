import { elementCount, type Graph, type Operator, type OperatorOptions } from '../../formats/tflite/graph.js';
import { activationPlaces, rowOf } from '../../formats/tflite/operators.js';
import { multiplyAdds, precisionAt } from '../inspect/costs.js';
import type { SourceName } from './sources.js';

/** Cost of one operator on a core family. */
interface LayerCost {
  index: number;
  op: string;
  macs: number;
  cycles: number;
  /** Kernels that the count applies to: the vector library's for int8, or TFLite Micro's reference kernels. */
  kernels: 'library' | 'reference';
  costs: KernelCosts;
}

/** Input channels below which a convolution counts as thin. */
const thinChannels = 8;

/** Cycles for each of a graph's operators, in order: multiply-adds or elements times the kernel's cost, plus the cost of the call. */
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

function workOf({ tensors }: Graph, operator: Operator, macs: number, costs: KernelCosts) {
  const { op, inputs, outputs, options } = operator;
  const made = outputs.reduce((sum, index) => sum + elementCount(tensors[index]!.shape), 0);
  const taken = elementCount(tensors[inputs[activationPlaces(operator)[0]!]!]!.shape);
  const { cost } = rowOf(op);
  switch (cost) {
    case 'convolution': {
      const channels = tensors[inputs[1]!]!.shape[3] ?? 0;
      return macs * (channels < thinChannels ? costs.thinConvolution : costs.convolution);
    }
    case 'depthwise':
    case 'dense':
      return macs * costs[cost];
    case 'maxPool':
    case 'averagePool': {
      const { filterH, filterW } = options as OperatorOptions['MAX_POOL_2D'];
      return made * filterH * filterW * costs[cost];
    }
    case 'reduction':
      return taken * costs.averagePool;
    default:
      // An operator without output stores its input.
      return (outputs.length === 0 ? taken : made) * costs[cost];
  }
}

/** Certainty of a cost: measured for this kernel on this chip, fitted to whole networks on this chip, or taken from another chip. */
type Basis = 'measured' | 'fitted' | 'transferred';

/** Cycles of the kernels on one core family. */
interface KernelCosts {
  /** Per multiply-add. */
  convolution: number;
  /** A convolution with fewer than 8 input channels, as for raw samples: vectors are mostly empty. */
  thinConvolution: number;
  depthwise: number;
  dense: number;
  /** Per input cell of each window. */
  maxPool: number;
  averagePool: number;
  /** Per element. */
  add: number;
  multiply: number;
  activation: number;
  /** A table or exponentials: SOFTMAX, LOGISTIC, TANH. */
  transcendental: number;
  copy: number;
  /** Per element, for QUANTIZE, DEQUANTIZE and rescaling. */
  rescale: number;
  /** Fixed cost of every operator, for its call and preparation. */
  call: number;
  basis: Basis;
  /** The actual value is expected between these multiples of the prediction. */
  spread: [low: number, high: number];
  sources: readonly SourceName[];
}

/**
 * ESP32-S3 with ESP-NN's vector kernels: ticks from its README divided by the multiply-adds of each case. These costs predict 51 ms for the
 * person detector (7.16 M multiply-adds); the measured time is 54 ms.
 *
 * - 1x1 64 → 64 on 10×10: 461,398 / 409,600
 * - 3×3×3 → 64 on 8×8: 643,689 / 110,592
 * - depthwise 3×3×16 on 16×16: 191,931 / 36,864
 * - dense 265 → 3: 4,439 / 795
 * - pools 3×3×16 on 14×14: 76,747 and 160,580 / 28,224
 * - add, multiply and relu6 of 1,615 elements
 */
const espS3: KernelCosts = {
  convolution: 461_398 / 409_600,
  thinConvolution: 643_689 / 110_592,
  depthwise: 191_931 / 36_864,
  dense: 4439 / 795,
  maxPool: 76_747 / 28_224,
  averagePool: 160_580 / 28_224,
  add: 71_644 / 1615,
  multiply: 30_950 / 1615,
  activation: 1856 / 1615,
  transcendental: 200,
  copy: 2,
  rescale: 45,
  call: 2000,
  basis: 'measured',
  spread: [0.6, 2],
  sources: ['espNn', 'espPerson'],
};

/** Relative costs of ESP-NN's kernels in plain C, from its README for the ESP32-S3; 1 = a wide convolution. */
const plainC = {
  convolution: 1,
  thinConvolution: 2_106_801 / 110_592 / (4_642_259 / 409_600),
  depthwise: 1_192_832 / 36_864 / (4_642_259 / 409_600),
  dense: 12_290 / 795 / (4_642_259 / 409_600),
  maxPool: 485_714 / 28_224 / (4_642_259 / 409_600),
  averagePool: 541_462 / 28_224 / (4_642_259 / 409_600),
  add: 312_327 / 1615 / (4_642_259 / 409_600),
  multiply: 122_046 / 1615 / (4_642_259 / 409_600),
  activation: 18_315 / 1615 / (4_642_259 / 409_600),
};

/** The person detector's multiply-adds: 96×96 gray, MobileNet v1 of width 0.25, summed layer by layer. */
const person = { wide: 6_193_152 + 512, thin: 165_888, depthwise: 798_336 };

/** Kernel costs in the proportions of plain C, scaled so that the person detector takes the measured number of cycles. */
function fittedToPerson(cycles: number, spread: KernelCosts['spread'], basis: Basis = 'fitted'): KernelCosts {
  const weighted = person.wide + person.thin * plainC.thinConvolution + person.depthwise * plainC.depthwise;
  const unit = cycles / weighted;
  const scaled = Object.fromEntries(Object.entries(plainC).map(([kernel, ratio]) => [kernel, ratio * unit]));
  return {
    ...(scaled as typeof plainC),
    transcendental: 300,
    copy: 3,
    rescale: plainC.multiply * unit,
    call: 2000,
    basis,
    spread,
    sources: ['espPerson', 'espNn'],
  };
}

/**
 * Cortex-M4 with DSP instructions: MLPerf Tiny's four networks on a NUCLEO-L4R5ZI. The autoencoder has 0.264 M multiply-adds, all dense, in
 * 9.67 ms: 4.4 cycles each. ResNet-8 has 12.5 M in 252.8 ms: 2.4 cycles each. MobileNet v1 0.25 (7.49 M, 254.6 ms) and DS-CNN (2.66 M, 97.6
 * ms) agree within 5 % with 3.4 for pointwise and 10 for depthwise. The spread is wide because these networks were run with X-CUBE-AI,
 * which is faster than TFLite Micro with CMSIS-NN. Elementwise kernels are an estimate.
 */
const cortexM4: KernelCosts = {
  convolution: 3,
  thinConvolution: 5,
  depthwise: 10,
  dense: 4.4,
  maxPool: 3,
  averagePool: 5,
  add: 25,
  multiply: 20,
  activation: 3,
  transcendental: 200,
  copy: 1,
  rescale: 20,
  call: 1500,
  basis: 'fitted',
  spread: [0.8, 3],
  sources: ['mlperfL4'],
};

/**
 * Cortex-M0+: no published measurements of kernels were found. A multiply-add in the C loop needs two byte loads of 2 cycles each, a
 * multiply and an add of 1 cycle each, plus about 3 cycles for the loop.
 */
const cortexM0: KernelCosts = {
  convolution: 9,
  thinConvolution: 14,
  depthwise: 22,
  dense: 9,
  maxPool: 9,
  averagePool: 12,
  add: 80,
  multiply: 60,
  activation: 8,
  transcendental: 400,
  copy: 3,
  rescale: 60,
  call: 2500,
  basis: 'transferred',
  spread: [0.6, 2.5],
  sources: ['m0Timing'],
};

function slower(costs: KernelCosts, factor: number, spread: KernelCosts['spread']): KernelCosts {
  const { basis: _, spread: __, sources, ...cycles } = costs;
  const scaled = Object.fromEntries(Object.entries(cycles).map(([name, value]) => [name, value * factor]));
  return { ...(scaled as typeof cycles), basis: 'transferred', spread, sources };
}

/** Core families with their kernels. `reference` = TFLite Micro's own kernels, used if the library has none for the type. */
const kernelCosts = {
  // Person detection at 240 MHz: 54 ms with ESP-NN, 2,300 ms without.
  lx7: { int8: espS3, reference: fittedToPerson(2.3 * 240e6, [0.5, 2]) },
  // Person detection at 240 MHz: 380 ms with ESP-NN, 4,084 ms without.
  lx6: {
    int8: fittedToPerson(0.38 * 240e6, [0.6, 2]),
    reference: fittedToPerson(4.084 * 240e6, [0.5, 2]),
  },
  // Person detection at 160 MHz: 426 ms with ESP-NN, 3,355 ms without.
  riscv: {
    int8: fittedToPerson(0.426 * 160e6, [0.6, 2]),
    reference: fittedToPerson(3.355 * 160e6, [0.5, 2]),
  },
  m4: { int8: cortexM4, reference: slower(cortexM4, 15, [0.4, 2.5]) },
  m33: { int8: slower(cortexM4, 1, [0.7, 3]), reference: slower(cortexM4, 15, [0.4, 2.5]) },
  m0: { int8: cortexM0, reference: slower(cortexM0, 8, [0.4, 2.5]) },
} as const satisfies Record<string, { int8: KernelCosts; reference: KernelCosts }>;

export type Core = keyof typeof kernelCosts;
