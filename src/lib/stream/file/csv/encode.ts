import type { OutgoingMessage } from '../../message.js';
import { type Cell, ownCell, payloadRow, type Row, unfit } from '../rows.js';

/** A cell as RFC 4180 writes it: quoted where it has a comma, a quote or a line end, or would be read as a comment. */
export function csvCell(cell: Cell): string {
  if (cell === undefined) return '';
  const text = String(cell);
  return /[",\r\n]|^#/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csvLine(cells: readonly Cell[]): string {
  return `${cells.map(csvCell).join(',')}\n`;
}

/**
 * The line of one message under these columns. Comma-separated text stays as it came: `26.10` is not made `26.1`.
 * @param selected the columns were chosen: what else a message has is left out; otherwise it is refused
 * @throws AIOT_STREAM_UNFIT
 */
export function csvRow(
  message: OutgoingMessage,
  columns: readonly string[],
  selected: boolean,
  where: string,
): string {
  const own = columns.some((name) => name.startsWith('$'));
  const raw = own ? undefined : rawLine(message, columns.length);
  if (raw !== undefined) return raw;
  const row = own && columns.every((name) => name.startsWith('$')) ? {} : payloadRow(message, columns, where);
  if (!selected) {
    const extra = extraColumns(row, columns);
    if (extra.length > 0) {
      throw unfit(
        where,
        message,
        `has ${extra.join(', ')} beside the columns ${columns.join(',')}: choose with ?fields=`,
      );
    }
  }
  return csvLine(columns.map((name) => (name.startsWith('$') ? ownCell(name, message) : row[name])));
}

export function extraColumns(row: Row, columns: readonly string[]): string[] {
  const known = new Set(columns);
  return Object.keys(row).filter((name) => !known.has(name));
}

const comma = 44;

/** One line of text with as many cells as there are columns, no quotes and nothing of JSON. */
function rawLine({ payload }: OutgoingMessage, cells: number): string | undefined {
  let length = payload.length;
  while (
    length > 0 &&
    (payload[length - 1] === 0 || payload[length - 1] === 10 || payload[length - 1] === 13)
  )
    length--;
  // { [ " or #
  if (length === 0 || [0x7b, 0x5b, 0x22, 0x23].includes(payload[0]!)) return undefined;
  let found = 1;
  for (let i = 0; i < length; i++) {
    const byte = payload[i]!;
    if (byte === comma) found++;
    else if (byte < 0x20 || byte === 0x22 || byte > 0x7e) return undefined;
  }
  if (found !== cells || found === 1) return undefined;
  return `${Buffer.from(payload.buffer, payload.byteOffset, length).toString('latin1')}\n`;
}
