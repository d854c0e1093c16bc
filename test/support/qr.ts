import jsqrModule from 'jsqr';

type Decode = (rgba: Uint8ClampedArray, width: number, height: number) => { data: string } | null;
/** A CommonJS package whose types do not match its actual exports. */
const jsqr = ('default' in jsqrModule ? jsqrModule.default : jsqrModule) as unknown as Decode;

/** Gray picture, one byte per pixel. */
export interface Picture {
  width: number;
  height: number;
  pixels: Uint8Array;
}

/** Uses jsQR to read the text of the QR code in a part of a picture; null if none is found. */
export function readQr(
  picture: Picture,
  left = 0,
  top = 0,
  width = picture.width,
  height = picture.height,
): string | null {
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const grey = picture.pixels[(top + y) * picture.width + left + x] ?? 255;
      rgba.fill(grey, (y * width + x) * 4, (y * width + x) * 4 + 3);
    }
  }
  return jsqr(rgba, width, height)?.data ?? null;
}

/** Reads a binary PGM file (P5) as written by mutool. */
export function readPgm(bytes: Buffer): Picture {
  const head = /^P5\n(?:#[^\n]*\n)*(\d+) (\d+)\n255\n/.exec(bytes.subarray(0, 200).toString('latin1'));
  if (!head) throw new Error('no PGM file');
  return { width: Number(head[1]), height: Number(head[2]), pixels: bytes.subarray(head[0].length) };
}
