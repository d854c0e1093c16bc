import { AiotError } from '../../core/errors.js';
import { printable, printableJson, printableLines, printablePayload } from '../../core/text.js';
import { decoderFor } from '../decode/decoder.js';
import type { Decoder, DecoderName } from '../decode/values.js';
import { toLine } from '../file/line.js';
import type { Shown } from './select.js';
import { bytesOf, compileTemplate, textOf } from './template.js';

/** `pretty` is for people, and is the caller's. */
export const printFormats = ['pretty', 'json', 'raw', 'csv', 'hex', 'template'] as const;

type PrintFormat = (typeof printFormats)[number];

export interface PrinterOptions {
  format: PrintFormat;
  /** Text of `template`; see template.ts. Its expressions are about what is shown: the payload, or the result of `map`. */
  template?: string;
  /** Columns of `csv`. */
  fields?: readonly string[];
  decode?: DecoderName;
  /** For programs: lines of JSON, whatever the format. */
  json?: boolean;
  /** A person reads it: nothing in a payload may do anything to the terminal. */
  terminal: boolean;
  pretty: Printer;
}

/** @throws AIOT_USAGE (`template` without its text, or a text without it), AIOT_STREAM_EXPRESSION */
export async function printerFor(options: PrinterOptions): Promise<Printer> {
  const { format, template, terminal, pretty, fields } = options;
  if ((format === 'template') !== (template !== undefined)) {
    throw new AiotError(
      'AIOT_USAGE',
      `--format template and --template TEXT belong together, got --format ${format}`,
    );
  }
  // What a schema decodes has a value already.
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

/** A batch of messages as what is written of them: whole lines. */
type Printer = (batch: readonly Shown[]) => string | Uint8Array | Promise<string>;

const lineFeed = 10;

/** The payloads as they are, byte for byte, each followed by a line feed: one piece of memory for the whole batch. */
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

/** The same where a person reads it: what would do something to the terminal is written out. */
const printSafe: Printer = (batch) => batch.map((shown) => `${printablePayload(bytesOf(shown))}\n`).join('');

/** A line of JSON a message (messageLineSchema); what was made of the payload stands in its place. */
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
 * RFC 4180: a header, then one row a message, with `time` (ISO 8601) and `topic` first. The other columns are the fields asked for, or
 * those of the first message (nested ones as JSON); payloads that are no objects are one column, `payload`.
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

/** A line with the topic and the length, then sixteen bytes a line: place, hexadecimal, ASCII. */
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
