import type { Graph } from '../../formats/index.js';
import type { Range } from './numbers.js';

/**
 * Lets the inputs of each CONCATENATION have one scale: an input that `free` says may have any range, and that goes
 * nowhere else, gets the range of the whole. (Others are brought to it by a QUANTIZE. TensorFlow's converter forces the
 * range on upwards instead, through pools as far as the model's input, which then clips.)
 * @returns the ranges with these replaced
 */
export function uniteRanges(
  { operators, outputs }: Graph,
  ranges: ReadonlyMap<number, Range>,
  free: (operator: Graph['operators'][number]) => boolean,
): Map<number, Range> {
  const united = new Map(ranges);
  const uses = new Map<number, number>();
  for (const index of [...outputs, ...operators.flatMap(({ inputs }) => inputs)])
    uses.set(index, (uses.get(index) ?? 0) + 1);
  const makers = new Map(operators.map((operator) => [operator.outputs[0], operator]));
  // From the last to the first: the range of an outer concatenation becomes that of one within it.
  for (const { op, inputs, outputs: made } of [...operators].reverse()) {
    const whole = united.get(made[0] ?? -1);
    if (op !== 'CONCATENATION' || whole === undefined) continue;
    for (const index of inputs) {
      const maker = makers.get(index);
      if (maker !== undefined && uses.get(index) === 1 && free(maker)) united.set(index, whole);
    }
  }
  return united;
}
