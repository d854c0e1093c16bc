import { pictureText } from './picture.js';
import { colored } from './style.js';

/** Characters in a line, and pixels of the longer side. */
const columns = 48;

/** A picture as a few lines of a terminal, or nothing where it is none, or nobody sees colours. */
export async function thumbnail(bytes: Uint8Array): Promise<string> {
  if (!colored()) return '';
  const { cropGray, decodePicture, shrinkGray } = await import('../../vision/index.js');
  try {
    const picture = await decodePicture(bytes, 'a payload');
    const whole = { x: 0, y: 0, width: picture.width, height: picture.height };
    const text = pictureText(shrinkGray(cropGray(picture, whole), columns), columns);
    return text === undefined ? '' : `${text}\n`;
  } catch {
    // The line above says that it is none.
    return '';
  }
}
