import * as z from 'zod';

/** So many, or a share of them such as `2.5%`. */
export const amountSchema = z
  .union([z.int().min(0), z.string().regex(/^\d{1,3}(\.\d{1,3})?%$/)])
  .refine(
    (amount) => typeof amount === 'number' || Number.parseFloat(amount) <= 100,
    'expected at most 100%',
  );
export type Amount = z.output<typeof amountSchema>;

/** How many of `total` that is, not rounded. */
export function shareOf(amount: Amount, total: number): number {
  if (typeof amount === 'number') return amount;
  // Thousandths of a percent are whole numbers: 7% of 100 is 7, and not 7.000000000000001.
  return (Math.round(Number.parseFloat(amount) * 1000) * total) / 100_000;
}
