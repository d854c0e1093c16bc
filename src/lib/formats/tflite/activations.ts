import type { Operator } from './graph.js';

/**
 * Places among an operator's inputs that hold activations (or constants in their stead), not weights, axes or shapes.
 * The first of them decides the kernel's type.
 */
export function activationPlaces({ op, inputs }: Operator): number[] {
  switch (op) {
    case 'ADD':
    case 'SUB':
    case 'MUL':
      return [0, 1];
    case 'CONCATENATION':
      return inputs.map((_, place) => place);
    case 'PADV2':
      return [0, 2];
    case 'SPLIT':
      return [1];
    default:
      return [0];
  }
}
