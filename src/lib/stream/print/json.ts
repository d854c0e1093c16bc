import { toLine } from '../file/ndjson/line.js';
import type { Shown } from '../tail/types.js';

/** A line of JSON a message (messageLineSchema); what was made of the payload stands in its place. */
export const printJson = (batch: readonly Shown[]): string => {
  let text = '';
  for (const { message, value } of batch) {
    if (value === undefined) text += `${JSON.stringify(toLine(message))}\n`;
    else {
      const line = toLine({ ...message, payload: new Uint8Array() });
      text += `${JSON.stringify({ ...line, payload: value, encoding: 'json' })}\n`;
    }
  }
  return text;
};
