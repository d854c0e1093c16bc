import { z } from 'zod';
import { AiotError, issueText } from '../../core/index.js';

const markSchema = z.strictObject({
  label: z.string().trim().min(1).max(64),
  seconds: z.number().positive().max(3600).optional(),
});
export type Mark = z.output<typeof markSchema>;

/** What a message says was just seen: a label as it stands, or JSON. @throws AIOT_USAGE */
export function readMark(payload: string): Mark {
  const text = payload.trim();
  const read = markSchema.safeParse(text.startsWith('{') ? jsonOf(text) : { label: text });
  if (read.success) return read.data;
  const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  throw new AiotError(
    'AIOT_USAGE',
    `expected a label, or JSON such as {"label": "walking", "seconds": 10}, got "${shown}" (${issueText(read.error, 'the message')})`,
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
