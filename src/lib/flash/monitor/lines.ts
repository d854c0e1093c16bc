import { stripVTControlCharacters } from 'node:util';

/** A line as long as this is cut: a board that sends noise need not have line ends. Characters. */
const longest = 8192;

/** Bytes to lines of text (UTF-8; what is none becomes �), whatever ends them: LF, CR LF, CR CR LF. */
export class LineReader {
  private readonly decoder = new TextDecoder('utf-8', { fatal: false });
  private rest = '';

  /** The lines that are whole now, without their ends. */
  read(bytes: Uint8Array): string[] {
    const parts = (this.rest + this.decoder.decode(bytes, { stream: true })).split('\n');
    this.rest = parts.pop() ?? '';
    const lines = parts.map(trimmed);
    while (this.rest.length > longest) {
      lines.push(this.rest.slice(0, longest));
      this.rest = this.rest.slice(longest);
    }
    return lines;
  }

  /** What has come of a line that has not ended: a prompt, as a rule. */
  get partial(): string {
    return this.rest;
  }

  /** Gives that up as a line of its own; empty where there is none. */
  take(): string {
    const line = trimmed(this.rest);
    this.rest = '';
    return line;
  }
}

const trimmed = (line: string) => line.replace(/\r+$/, '');

/** Without colours, cursor movements and other control characters: what people read. */
export function plainText(line: string): string {
  return [...stripVTControlCharacters(line)]
    .filter((character) => character >= ' ' || character === '\t')
    .join('')
    .replaceAll('\x7f', '');
}
