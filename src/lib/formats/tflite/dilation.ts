import type { Operator, OperatorOptions, Tensor } from './graph.js';

type Convolution = Extract<Operator, { op: 'CONV_2D' | 'DEPTHWISE_CONV_2D' }>;

/**
 * The operators that a converter writes for one dilated convolution, in order. The converter writes the second and the fourth only for one
 * dimension.
 */
interface Chain {
  split: Operator;
  expand: Operator | undefined;
  convolution: Convolution;
  reshape: Operator | undefined;
  join: Operator;
}

/**
 * For a dilated convolution with a dynamic batch dimension, TensorFlow's converter writes SPACE_TO_BATCH_ND, a convolution and
 * BATCH_TO_SPACE_ND. This function replaces them with one dilated convolution. The intermediate shapes in such a file are wrong, because
 * the file stores a batch of 1. Chains whose paddings match neither SAME nor VALID are not changed.
 * @param outputs the network's outputs
 */
export function foldDilation(
  tensors: readonly Tensor[],
  operators: readonly Operator[],
  outputs: readonly number[],
): { tensors: Tensor[]; operators: Operator[]; count: number } {
  const changed = [...tensors];
  const gone = new Set<Operator>();
  const replacements = new Map<Operator, Operator[]>();
  for (const split of operators) {
    const chain = chainOf(split, operators, outputs);
    const folded = chain && folding(chain, changed);
    if (folded === undefined) continue;
    for (const [index, shape] of folded.shapes) changed[index] = { ...changed[index]!, shape };
    for (const operator of Object.values(chain!) as (Operator | undefined)[])
      if (operator !== undefined) gone.add(operator);
    replacements.set(chain!.convolution, folded.operators);
  }
  const kept = operators.flatMap(
    (operator) => replacements.get(operator) ?? (gone.has(operator) ? [] : [operator]),
  );
  return { tensors: changed, operators: kept, count: replacements.size };
}

function chainOf(
  split: Operator,
  operators: readonly Operator[],
  outputs: readonly number[],
): Chain | undefined {
  if (split.op !== 'SPACE_TO_BATCH_ND') return undefined;
  // Each operator must be the only reader of the previous one.
  const next = (operator: Operator | undefined): Operator | undefined => {
    const [index = -1] = operator?.outputs ?? [];
    const readers = operators.filter(({ inputs }) => inputs.includes(index));
    return readers.length === 1 && !outputs.includes(index) ? readers[0] : undefined;
  };
  const second = next(split);
  const expand = second?.op === 'EXPAND_DIMS' ? second : undefined;
  const convolution = expand ? next(expand) : second;
  if (convolution?.op !== 'CONV_2D' && convolution?.op !== 'DEPTHWISE_CONV_2D') return undefined;
  const after = next(convolution);
  const reshape = after?.op === 'RESHAPE' || after?.op === 'SQUEEZE' ? after : undefined;
  const join = reshape ? next(reshape) : after;
  if (join?.op !== 'BATCH_TO_SPACE_ND' || (expand === undefined) !== (reshape === undefined))
    return undefined;
  return { split, expand, convolution, reshape, join };
}

function folding(
  { split, expand, convolution, reshape, join }: Chain,
  tensors: readonly Tensor[],
): { operators: Operator[]; shapes: [index: number, shape: number[]][] } | undefined {
  const numbers = (operator: Operator, place: number): number[] => {
    const { data } = tensors[operator.inputs[place] ?? -1] ?? {};
    return data instanceof Int32Array ? [...data] : [];
  };
  const [block, paddings] = [numbers(split, 1), numbers(split, 2)];
  const [other, crops] = [numbers(join, 1), numbers(join, 2)];
  const { shape } = tensors[split.inputs[0]!]!;
  const filter = tensors[convolution.inputs[1]!]!.shape;
  const output = tensors[join.outputs[0]!]!.shape;
  const { options } = convolution;
  const plain =
    options.strideH === 1 && options.strideW === 1 && options.dilationH === 1 && options.dilationW === 1;
  const spatial = expand ? 1 : 2;
  if (!plain || options.padding !== 'valid' || block.join() !== other.join() || block.length !== spatial)
    return undefined;
  if (paddings.length !== 2 * spatial || crops.length !== 2 * spatial) return undefined;
  const [dilationH, dilationW] = expand ? [1, block[0]!] : [block[0]!, block[1]!];
  const sizes = expand ? [filter[2]!] : [filter[1]!, filter[2]!];
  const padding = paddingOf(sizes, block, paddings, crops);
  if (padding === undefined || (expand && filter[1] !== 1)) return undefined;
  const dilated = { ...options, padding, dilationH, dilationW } as OperatorOptions['CONV_2D'];
  const inputs = [...convolution.inputs];
  if (!expand || !reshape) {
    inputs[0] = split.inputs[0]!;
    return {
      operators: [{ ...convolution, inputs, outputs: join.outputs, options: dilated } as Operator],
      shapes: [],
    };
  }
  const [wide = -1, made = -1] = [expand.outputs[0], convolution.outputs[0]];
  // Inserts a height axis before the last two dimensions.
  const withHeight = ([batch = 1, steps = 1, channels = 1]: number[]) => [batch, 1, steps, channels];
  return {
    operators: [
      { ...expand, inputs: [split.inputs[0]!, expand.inputs[1]!] },
      { ...convolution, inputs, options: dilated } as Operator,
      { op: 'RESHAPE', inputs: [made], outputs: join.outputs, options: { newShape: output } },
    ],
    shapes: [
      [wide, withHeight(shape)],
      [made, withHeight(output)],
    ],
  };
}

/**
 * The padding of a dilated convolution that is equivalent to the paddings and crops: SAME or VALID, or undefined if neither is equivalent.
 */
function paddingOf(
  sizes: readonly number[],
  block: readonly number[],
  paddings: readonly number[],
  crops: readonly number[],
): 'same' | 'valid' | undefined {
  const kinds = sizes.map((size, axis) => {
    const [before, after] = [paddings[2 * axis]!, paddings[2 * axis + 1]! - crops[2 * axis + 1]!];
    const total = (size - 1) * block[axis]!;
    if (crops[2 * axis] !== 0) return undefined;
    if (before === total >> 1 && after === total - (total >> 1)) return total === 0 ? 'either' : 'same';
    return before === 0 && after === 0 ? 'valid' : undefined;
  });
  if (kinds.includes(undefined)) return undefined;
  const found = new Set(kinds.filter((kind) => kind !== 'either'));
  return found.size > 1 ? undefined : (([...found][0] as 'same' | 'valid' | undefined) ?? 'valid');
}
