import { z } from 'zod';
import { AiotError, issueText } from '../core/index.js';
import type { StreamUrl } from './url.js';

/** `true`, `false`, or the name alone, which is true. */
export const queryBoolean = z
  .enum(['true', 'false', '1', '0'])
  .transform((text) => text === 'true' || text === '1');
/** A whole number of 0 or more. */
export const queryCount = z
  .string()
  .regex(/^\d{1,15}$/, 'expected a whole number')
  .transform(Number);

/**
 * The settings in a URL's query, checked: each adapter names those that it has, and any other is refused.
 * @throws AIOT_STREAM_URL naming the parameter and those that there are
 */
export function readQuery<Shape extends z.ZodRawShape>(
  url: StreamUrl,
  shape: Shape,
): z.output<z.ZodObject<Shape>> {
  const result = z.strictObject(shape).safeParse(url.query);
  if (result.success) return result.data as z.output<z.ZodObject<Shape>>;
  const mark = url.scheme.startsWith('http') ? '#' : '?';
  const names = Object.keys(shape).join(', ');
  throw new AiotError(
    'AIOT_STREAM_URL',
    `${url.endpoint}: ${issueText(result.error, `the part after ${mark}`, url.query)}`,
    { next: names === '' ? `Nothing may follow the ${mark} here.` : `After the ${mark} may stand: ${names}` },
  );
}
