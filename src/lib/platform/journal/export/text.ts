import { exportColumns } from '../../../registry/index.js';
import type { Samples } from './rows.js';

/** RFC 4180 with LF; `t` in ms since 1970; numbers read back exactly; empty = there is none. */
export async function* csvExport(
  fields: readonly string[],
  batches: AsyncIterable<Samples>,
): AsyncGenerator<Buffer> {
  const out = new Pieces();
  yield* out.push(`${[...exportColumns, ...fields].join(',')}\n`);
  for await (const { device, recording, seq, t, label, columns } of batches) {
    const head = `${device},${recording},${seq ?? ''},`;
    const values = fields.map((field) => columns.get(field));
    let rows = '';
    for (let i = 0; i < t.length; i++) {
      rows += `${head}${t[i]},${quoted(label[i] ?? '')}`;
      for (const column of values) rows += `,${column?.[i] ?? ''}`;
      rows += '\n';
    }
    yield* out.push(rows);
  }
  yield* out.end();
}

/** One JSON object a sample, with the members that it has. */
export async function* ndjsonExport(
  fields: readonly string[],
  batches: AsyncIterable<Samples>,
): AsyncGenerator<Buffer> {
  const out = new Pieces();
  for await (const { device, recording, seq, t, label, columns } of batches) {
    const there = fields.filter((field) => columns.has(field));
    let rows = '';
    for (let i = 0; i < t.length; i++) {
      const row: Record<string, unknown> = { device, recording, seq, t: t[i], label: label[i] };
      for (const field of there) row[field] = columns.get(field)?.[i];
      rows += `${JSON.stringify(row)}\n`;
    }
    yield* out.push(rows);
  }
  yield* out.end();
}

const pieceBytes = 64 * 1024;

/** Gathers text into pieces that are worth sending. */
class Pieces {
  private text = '';

  *push(text: string): Generator<Buffer> {
    this.text += text;
    if (this.text.length >= pieceBytes) yield* this.end();
  }

  *end(): Generator<Buffer> {
    if (this.text !== '') yield Buffer.from(this.text);
    this.text = '';
  }
}

/**
 * A cell of text. One that a spreadsheet would take for a formula stays as it is: it is data, and reads back as it was.
 */
function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
