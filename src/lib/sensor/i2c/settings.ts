import { z } from 'zod';

/** A setting with a list to choose from: any other is refused with the list, and the nearest number of it. */
export function choice(choices: readonly string[]) {
  return z.string().refine((value) => choices.includes(value), {
    error: ({ input }) => {
      const wanted = Number(input);
      const numbers = choices.map(Number).filter((each) => Number.isFinite(each));
      const near = numbers.toSorted((a, b) => Math.abs(a - wanted) - Math.abs(b - wanted))[0];
      const nearest = Number.isFinite(wanted) && near !== undefined ? `; the nearest is ${near}` : '';
      return `expected one of ${choices.join(', ')}; got ${input}${nearest}`;
    },
  });
}
