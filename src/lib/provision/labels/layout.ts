import type { LabelDevice } from './types.js';

/** Of one label, mm. */
export const labelWidth = 50;
export const labelHeight = 25;
const margin = 1;
/** Of a Courier letter, by its size. */
const letterWidth = 0.6;
/** Of the QR code with the white around it that readers want (four modules: ISO/IEC 18004, 6.3.8). */
const qrSide = labelHeight - margin;

/** Lengths in mm from the label's upper left corner; `y` of a text is its base line. */
export interface LabelText {
  text: string;
  x: number;
  y: number;
  /** Height of a line. */
  size: number;
  bold: boolean;
}
export interface LabelBar {
  x: number;
  y: number;
  width: number;
  height: number;
}
export interface LabelLayout {
  texts: LabelText[];
  /** The dark modules of the QR code, a run of them in a row as one. */
  bars: LabelBar[];
}

/**
 * What a phone reads: a link with the name, and the id, MAC and certificate it is to have. `aiot device show NAME` tells of
 * the device; nothing here is secret.
 */
export function labelContent({ name, id, mac, fingerprint }: LabelDevice): string {
  const rest = [`id=${id}`, ...(mac === null ? [] : [`mac=${mac}`]), `cert=${fingerprint.slice(0, 16)}`];
  return `aiot:device/${name}?${rest.join('&')}`;
}

/** `modules`: rows of the QR code with its white border, true = dark. */
export function layoutLabel(device: LabelDevice, modules: readonly (readonly boolean[])[]): LabelLayout {
  const step = qrSide / modules.length;
  const origin = margin / 2;
  const bars = modules.flatMap((row, y) =>
    runs(row).map(([from, to]) => ({
      x: origin + from * step,
      y: origin + y * step,
      width: (to - from) * step,
      height: step,
    })),
  );
  return { bars, texts: textsOf(device) };
}

function runs(row: readonly boolean[]): [number, number][] {
  const found: [number, number][] = [];
  for (let x = 0; x < row.length; x++) {
    if (!row[x]) continue;
    const from = x;
    while (row[x + 1]) x++;
    found.push([from, x + 1]);
  }
  return found;
}

/** Of the lines below the name, mm: all of one size, so that the id is as easy to read as the rest. */
const smallSize = 2.05;
const smallStep = 2.5;
/** Letters of that size in a line. */
const lineLetters = Math.floor((labelWidth - qrSide - margin) / (smallSize * letterWidth));

function textsOf({ name, id, type, mac, chipId, fingerprint }: LabelDevice): LabelText[] {
  const x = qrSide;
  const width = labelWidth - x - margin;
  const small = [
    ...linesOf(type),
    ...linesOf(id),
    ...(mac === null ? [] : [mac]),
    ...(chipId === null ? [] : [`chip ${chipId}`]),
    `cert ${fingerprint.slice(0, 12)}`,
  ];
  const title = linesOf(name);
  const titleSize = sizeFor(title, width, title.length > 1 ? smallSize : 3.4);
  let y = 2;
  const lines = title.map((text) => {
    y += titleSize;
    return { text, x, y, size: titleSize, bold: true };
  });
  y += 0.3;
  const rest = small.map((text) => {
    y += smallStep;
    return { text, x, y, size: smallSize, bold: false };
  });
  return [...lines, ...rest];
}

/**
 * In one line, or in two. Of what is longer the beginning and the end, in which names of a series differ: the QR code has
 * all of it, and small letters nobody could read.
 */
function linesOf(text: string): string[] {
  if (text.length <= lineLetters) return [text];
  if (text.length > 2 * lineLetters)
    return [`${text.slice(0, lineLetters - 3)}...`, text.slice(-lineLetters)];
  // Where it has a sign, it is cut behind the last one that leaves a rest for one line.
  const sign = text.slice(0, lineLetters).search(/[-_.][^-_.]*$/) + 1;
  const at = text.length - sign <= lineLetters && sign > 0 ? sign : lineLetters;
  return [text.slice(0, at), text.slice(at)];
}

function sizeFor(lines: readonly string[], width: number, most: number): number {
  const letters = Math.max(...lines.map((line) => line.length));
  return Math.min(most, width / (letters * letterWidth));
}
