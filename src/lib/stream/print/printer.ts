import { AiotError, printableJson, printableLines } from '../../core/index.js';
import { decoderFor } from '../decode/decoder.js';
import type { DecoderName } from '../decode/types.js';
import { csvPrinter } from './csv.js';
import { printHex } from './hex.js';
import { printJson } from './json.js';
import { printRaw, printSafe } from './raw.js';
import { compileTemplate } from './template.js';
import type { Printer } from './types.js';

/** `pretty` is for people, and is the caller's. */
export const printFormats = ['pretty', 'json', 'raw', 'csv', 'hex', 'template'] as const;
export type PrintFormat = (typeof printFormats)[number];

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
