import { randomInt } from 'node:crypto';
import { printable, printableLines } from '../../core/text.js';

/** Colours only where a person reads: set once per command from the terminal, --no-color and --json. */
let on = false;

export function useColor(wanted: boolean): void {
  on = wanted;
}

/** Whether the reader sees colours. */
export const colored = (): boolean => on;

/**
 * Our own switches of colour carry numbers that nobody outside of this process knows: a device may send the same switch, and what
 * hides or paints text of ours must be ours. Four digits each, as parsers of such sequences expect; terminals know no such number.
 */
const ours = Array.from({ length: 3 }, () => randomInt(2000, 9999)).join(';');
const open = `\u001b[${ours};`;
const own = new RegExp(`\\u001b\\[${ours};([0-9;]*)m`, 'g');

/** A switch of ours; `forTerminal` makes it one that terminals know. */
export const styleSwitch = (codes: string): string => `${open}${codes}m`;

type Paint = (text: string) => string;

/** Select Graphic Rendition (ECMA-48, 8.3.117): what begins the style, and what ends it. */
function paint(begin: number, end: number): Paint {
  const [first, last] = [styleSwitch(String(begin)), styleSwitch(String(end))];
  // An inner style's end ends this one too, so it begins again there; and no style reaches over the end of a line.
  return (text) =>
    on && text !== ''
      ? text
          .split('\n')
          .map((line) => `${first}${line.replaceAll(last, `${last}${first}`)}${last}`)
          .join('\n')
      : text;
}

const strong = paint(1, 22);
/** A name, a number, a heading: always one line, also where others named it. */
export const bold: Paint = (text) => strong(oneLine(text));
export const dim = paint(2, 22);
export const red = paint(31, 39);
export const green = paint(32, 39);
export const yellow = paint(33, 39);
export const cyan = paint(36, 39);

/** What is written: our styles as terminals know them, and whatever else would move a cursor, hide or turn text, as text. */
export function forTerminal(text: string): string {
  return text
    .split(own)
    .map((part, i) => (i % 2 === 0 ? printableLines(part) : `\u001b[${part}m`))
    .join('');
}

/** The same for what is to stay one line, as a cell of a table; our styles stay as they are for `forTerminal`. */
export function oneLine(text: string): string {
  return text
    .split(own)
    .map((part, i) => (i % 2 === 0 ? printable(part) : styleSwitch(part)))
    .join('');
}
