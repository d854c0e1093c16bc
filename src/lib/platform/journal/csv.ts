import type { Entry } from './entry.js';
import type { Journal } from './journal.js';
import { fieldsOf, placesOf, type Take } from './takes.js';

/**
 * One recording as CSV (RFC 4180, LF): a header of the fields, one sample a line, in the order of the sequence numbers.
 * A field that a sample lacks is empty. Numbers are written so that they read back exactly.
 */
export async function* csvOf(journal: Journal, fields: string[], take: Take): AsyncGenerator<string> {
  yield `${fields.join(',')}\n`;
  const entries = journal.read(placesOf(take));
  for await (const entry of take.ordered ? entries : sorted(entries)) {
    const columns = new Map(fieldsOf(entry.payload));
    const samples = Math.max(0, ...[...columns.values()].map((column) => column.length));
    let rows = '';
    for (let i = 0; i < samples; i++) {
      rows += `${fields.map((field) => columns.get(field)?.[i] ?? '').join(',')}\n`;
    }
    if (rows) yield rows;
  }
}

async function* sorted(entries: AsyncIterable<Entry>): AsyncGenerator<Entry> {
  const all: Entry[] = [];
  for await (const entry of entries) all.push(entry);
  yield* all.sort((a, b) => Number(a.payload.seq ?? 0) - Number(b.payload.seq ?? 0));
}
