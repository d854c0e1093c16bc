import { AiotError } from '../../core/errors.js';
import { printable, printableJson, printableLines, printablePayload } from '../../core/text.js';
import { decoderFor } from '../decode/decoder.js';
import type { Decoder, DecoderName } from '../decode/values.js';
import { toLine } from '../file/line.js';
import type { Shown } from './tail.js';
import { bytesOf } from './tail.js';
import { compileTemplate, textOf } from './template.js';

/** Formats for messages. `pretty` is for people, and is implemented by the caller. */
export const printFormats = ['pretty', 'json', 'raw', 'csv', 'hex', 'template'] as const;

type PrintFormat = (typeof printFormats)[number];

export interface PrinterOptions {
  format: PrintFormat;
  /**
   * The text for `template` (see template.ts). Its expressions refer to the shown value, which is the payload or the result of `map`.
   */
  template?: string;
  /** Columns of `csv`. */
  fields?: readonly string[];
  decode?: DecoderName;
  /** Whether to print JSON lines for programs, regardless of the format. */
  json?: boolean;
  /** Whether a person reads the output on a terminal, which payloads must not control. */
  terminal: boolean;
  pretty: Printer;
}

/** @throws AIOT_USAGE (`template` without its text, or vice versa), AIOT_STREAM_EXPRESSION */
export async function printerFor(options: PrinterOptions): Promise<Printer> {
  const { format, template, terminal, pretty, fields } = options;
  if ((format === 'template') !== (template !== undefined)) {
    throw new AiotError(
      'AIOT_USAGE',
      `--format template needs --template TEXT, and --template needs --format template; got --format ${format}`,
    );
  }
  // Payloads decoded with a schema already have a value.
  const decode = await decoderFor('auto');
  const safe = (print: (batch: Parameters<Printer>[0]) => string | Promise<string>): Printer => {
    if (!terminal) return print;
    return async (batch) => printableLines(await print(batch));
  };
  switch (options.json ? 'json' : format) {
    case 'pretty':
      return pretty;
    case 'json':
      return terminal ? (batch) => printableJson(printJson(batch)) : printJson;
    case 'raw':
      return terminal ? printSafe : printRaw;
    case 'csv':
      return safe(csvPrinter(decode, fields));
    case 'hex':
      return printHex;
    case 'template': {
      const text = compileTemplate(template ?? '');
      return safe(async (batch) => {
        const lines: string[] = [];
        for (const { message, value } of batch)
          lines.push(await text(message, value === undefined ? decode : () => value));
        return lines.map((line) => `${line}\n`).join('');
      });
    }
  }
}

/** Converts a batch of messages to output in whole lines. */
type Printer = (batch: readonly Shown[]) => string | Uint8Array | Promise<string>;

const lineFeed = 10;

/** Prints the unchanged payloads, each followed by a line feed, as one buffer for the whole batch. */
export const printRaw: Printer = (batch) => {
  let length = batch.length;
  const payloads: Uint8Array[] = new Array(batch.length);
  for (let index = 0; index < batch.length; index++) {
    const bytes = bytesOf(batch[index]!);
    payloads[index] = bytes;
    length += bytes.length;
  }
  const text = Buffer.allocUnsafe(length);
  let at = 0;
  for (const payload of payloads) {
    text.set(payload, at);
    at += payload.length;
    text[at++] = lineFeed;
  }
  return text;
};

/** Like `printRaw`, but for a person: control characters are escaped. */
const printSafe: Printer = (batch) => batch.map((shown) => `${printablePayload(bytesOf(shown))}\n`).join('');

/** Prints one line of JSON for each message (messageLineSchema). A computed value replaces the payload. */
const printJson = (batch: readonly Shown[]): string => {
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

/**
 * Prints CSV (RFC 4180): a header, then one row for each message, with `time` (ISO 8601) and `topic` first. The other
 * columns are the selected fields, or the first message's fields, with nested values as JSON. Payloads that are not
 * objects are in one column, `payload`.
 */
function csvPrinter(decode: Decoder, fields?: readonly string[]): (batch: readonly Shown[]) => string {
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

const perLine = 16;

/** Prints a line with the topic and the length, then sixteen bytes per line as offset, hexadecimal and ASCII. */
const printHex: Printer = (batch) =>
  batch
    .map((shown) => {
      const bytes = Buffer.from(bytesOf(shown));
      const lines = [
        `${new Date(shown.message.time).toISOString()}  ${printable(shown.message.topic)}  ${bytes.length} B`,
      ];
      for (let at = 0; at < bytes.length; at += perLine)
        lines.push(line(bytes.subarray(at, at + perLine), at));
      return `${lines.join('\n')}\n`;
    })
    .join('');

function line(bytes: Buffer, at: number): string {
  const pairs = [...bytes].map((byte) => byte.toString(16).padStart(2, '0'));
  const halves = [pairs.slice(0, 8), pairs.slice(8)].map((half) => half.join(' ').padEnd(23));
  const ascii = [...bytes]
    .map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.'))
    .join('');
  return `${at.toString(16).padStart(8, '0')}  ${halves.join('  ')}  |${ascii}|`;
}
