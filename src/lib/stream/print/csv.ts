import type { Decoder } from '../decode/types.js';
import type { Shown } from '../tail/types.js';
import { textOf } from './value.js';

/**
 * RFC 4180: a header, then one row a message, with `time` (ISO 8601) and `topic` first. The other columns are the fields asked for, or
 * those of the first message (nested ones as JSON); payloads that are no objects are one column, `payload`.
 */
export function csvPrinter(decode: Decoder, fields?: readonly string[]): (batch: readonly Shown[]) => string {
  let columns: readonly string[] | undefined = fields;
  let headed = false;
  return (batch) => {
    let text = '';
    for (const shown of batch) {
      const value = shown.value === undefined ? decode(shown.message) : shown.value;
      columns ??= isObject(value) ? Object.keys(value) : ['payload'];
      if (!headed) text += row(['time', 'topic', ...columns]);
      headed = true;
      text += row([...start(shown), ...cells(value, columns)]);
    }
    return text;
  };
}

const start = ({ message }: Shown) => [new Date(message.time).toISOString(), message.topic];

function cells(value: unknown, columns: readonly string[]): unknown[] {
  if (isObject(value)) return columns.map((name) => (Object.hasOwn(value, name) ? value[name] : undefined));
  return columns.map((_, index) => (index === 0 ? value : undefined));
}

function row(values: readonly unknown[]): string {
  return `${values.map(cell).join(',')}\n`;
}

function cell(value: unknown): string {
  const text = value === undefined || value === null ? '' : textOf(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}
