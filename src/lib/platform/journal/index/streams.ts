import type { Entry } from '../entry.js';
import { fieldsOf, type Take } from '../takes.js';

/** What is known of one stream. */
export interface StreamTotals {
  name: string;
  /** In the order in which they were first seen. */
  fields: string[];
  recordings: number;
  messages: number;
  samples: number;
  bytes: number;
  duplicates: number;
}

/** Fields that one stream may have: a table of more columns is nobody's dataset. */
export const mostFields = 1024;

export function emptyStream(name: string): StreamTotals {
  return { name, fields: [], recordings: 0, messages: 0, samples: 0, bytes: 0, duplicates: 0 };
}

/** Fields of a message that its stream has not had before. */
export function newFieldsOf({ fields }: StreamTotals, entry: Entry): string[] {
  const fresh: string[] = [];
  for (const [name] of fieldsOf(entry.payload)) if (!fields.includes(name)) fresh.push(name);
  return fresh;
}

/** What is left of a stream without one of its recordings. */
export function withoutTake(totals: StreamTotals, take: Take): StreamTotals {
  return {
    ...totals,
    recordings: totals.recordings - (take.messages + take.duplicates > 0 ? 1 : 0),
    messages: totals.messages - take.messages,
    samples: totals.samples - take.samples,
    bytes: totals.bytes - take.bytes,
    duplicates: totals.duplicates - take.duplicates,
  };
}
