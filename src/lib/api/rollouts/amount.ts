import * as z from 'zod';

/** A number, or a percentage such as `2.5%`. */
export const amountSchema = z
  .union([z.int().min(0), z.string().regex(/^\d{1,3}(\.\d{1,3})?%$/)])
  .refine(
    (amount) => typeof amount === 'number' || Number.parseFloat(amount) <= 100,
    'expected at most 100%',
  );
export type Amount = z.output<typeof amountSchema>;

/** Converts an amount to a number out of `total`, without rounding. */
export function shareOf(amount: Amount, total: number): number {
  if (typeof amount === 'number') return amount;
  // Computed in whole thousandths of a percent, so that 7% of 100 is 7 instead of 7.000000000000001.
  return (Math.round(Number.parseFloat(amount) * 1000) * total) / 100_000;
}
