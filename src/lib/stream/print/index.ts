/** Messages as text: raw, JSON, CSV, hexadecimal, a template. */
export { type PrinterOptions, type PrintFormat, printerFor, printFormats } from './printer.js';
export { compileTemplate, type Template } from './template.js';
export type { Printer } from './types.js';
export { bytesOf as shownBytes } from './value.js';
