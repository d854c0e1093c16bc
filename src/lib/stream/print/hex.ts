import { printable } from '../../core/index.js';
import type { Printer } from './types.js';
import { bytesOf } from './value.js';

const perLine = 16;

/** A line with the topic and the length, then sixteen bytes a line: place, hexadecimal, ASCII. */
export const printHex: Printer = (batch) =>
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
