import type { GrayPicture } from '../../vision/index.js';
import { colored, styleSwitch } from './style.js';

/** First of the 24 grays of a terminal with 256 colours. */
const firstGray = 232;
const grays = 24;

/**
 * A gray picture as text, two pixels in a character: the upper half block's own colour and the one behind it.
 * @param columns characters in a line
 * @returns undefined where nobody sees colours
 */
export function pictureText(picture: GrayPicture, columns: number): string | undefined {
  if (!colored()) return undefined;
  const { width, height, data } = picture;
  const wide = Math.max(1, Math.min(columns, width));
  const high = Math.max(2, Math.round((wide * height) / width / 2) * 2);
  const gray = (column: number, row: number) => {
    const x = Math.floor(((column + 0.5) * width) / wide);
    const y = Math.floor(((row + 0.5) * height) / high);
    return firstGray + Math.floor((data[y * width + x]! * grays) / 256);
  };
  const lines = Array.from({ length: high / 2 }, (_, line) =>
    Array.from(
      { length: wide },
      (_, column) =>
        `${styleSwitch(`38;5;${gray(column, line * 2)}`)}${styleSwitch(`48;5;${gray(column, line * 2 + 1)}`)}▀`,
    ).join(''),
  );
  return lines.map((line) => `${line}${styleSwitch('0')}`).join('\n');
}
