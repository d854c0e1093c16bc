import { z } from 'zod';
import { parseDuration } from '../../core/index.js';

/** `20ms`, `10m` → ms. */
export const duration = z.string().transform((text, context) => {
  try {
    return parseDuration(text);
  } catch {
    context.addIssue({ code: 'custom', message: 'expected a time such as 20ms, 30s or 10m' });
    return z.NEVER;
  }
});

const factors: Record<string, number> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** `1GB`, `64MiB` → bytes. */
export const byteSize = z.string().transform((text, context) => {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([A-Za-z]+)$/.exec(text.trim()) ?? [];
  const bytes = Math.round(Number(digits) * (factors[unit] ?? Number.NaN));
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  context.addIssue({ code: 'custom', message: 'expected a size such as 500kB, 64MiB or 1GB' });
  return z.NEVER;
});

/** JSONata. A number or a boolean of YAML is one too. */
export const expression = z
  .union([z.string(), z.number(), z.boolean()])
  .transform(String)
  .refine((text) => text.trim() !== '', 'expected an expression');

export const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'expected letters, digits, dots, dashes and underscores');

/** One or several. */
export const oneOrMore = <T extends z.ZodType>(item: T) =>
  z.union([item.transform((one) => [one]), z.array(item).min(1)]);
