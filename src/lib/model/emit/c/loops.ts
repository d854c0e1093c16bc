import { indent } from './piece.js';

/** Distance between neighbours along each axis of a row-major tensor. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}

type Axis<Step extends string> = { size: number } & { [name in Step]: number };

/**
 * Nested loops over the axes, with the body inside that is given, for each step, the place as C text: the sum of index times
 * step. Axes of one element take no loop.
 */
export function loops<Step extends string>(
  prefix: string,
  axes: Axis<Step>[],
  body: (place: { [name in Step]: string }) => string,
): string {
  const used = axes.flatMap((axis, index) => (axis.size === 1 ? [] : [{ axis, name: `${prefix}${index}` }]));
  const steps = Object.keys(axes[0] ?? {}).filter((key) => key !== 'size') as Step[];
  const placeOf = (step: Step) => {
    const terms = used.flatMap(({ axis, name }) => {
      const distance: number = axis[step];
      if (distance === 0) return [];
      return [distance === 1 ? name : `${name} * ${distance}`];
    });
    return terms.length === 0 ? '0' : terms.join(' + ');
  };
  const inner = body(
    Object.fromEntries(steps.map((step) => [step, placeOf(step)])) as { [name in Step]: string },
  );
  return used.reduceRight(
    (text, { axis, name }) =>
      `for (int ${name} = 0; ${name} < ${axis.size}; ${name}++) {\n${indent(text)}\n}`,
    inner,
  );
}
