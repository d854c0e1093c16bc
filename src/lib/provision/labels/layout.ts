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

function textsOf({ name, id, type, mac, chipId, fingerprint }: LabelDevice): LabelText[] {
  const x = qrSide;
  const width = labelWidth - x - margin;
  const small = [
    type,
    id,
    ...(mac === null ? [] : [mac]),
    ...(chipId === null ? [] : [`chip ${chipId}`]),
    fingerprint.slice(0, 16),
  ];
  const title = halves(name);
  const titleSize = sizeFor(title, width, 3.4);
  let y = 2.5;
  const lines = title.map((text) => {
    y += titleSize;
    return { text, x, y, size: titleSize, bold: true };
  });
  y += 0.8;
  const rest = small.map((text) => {
    const size = sizeFor([text], width, 2.1);
    y += 2.6;
    return { text, x, y, size, bold: false };
  });
  return [...lines, ...rest];
}

/** A name too long for one line in two, cut where it has a sign if it does. */
function halves(name: string): string[] {
  if (name.length <= 16) return [name];
  const middle = Math.ceil(name.length / 2);
  const cut = name.slice(0, middle).search(/[-_.][^-_.]*$/);
  const at = cut > middle / 2 ? cut + 1 : middle;
  return [name.slice(0, at), name.slice(at)];
}

function sizeFor(lines: readonly string[], width: number, most: number): number {
  const letters = Math.max(...lines.map((line) => line.length));
  return Math.min(most, width / (letters * letterWidth));
}
