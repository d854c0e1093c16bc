import { AiotError, nativePart } from '../core/index.js';

/** A decoded picture: rows from the top, red, green and blue of a pixel side by side, 0…255. */
export interface Picture {
  width: number;
  height: number;
  /** `width · height · 3` bytes. */
  data: Uint8Array;
}

/** A picture in shades of gray: `width · height` bytes. */
export type GrayPicture = Picture;

/** Most pixels of a picture that is decoded; a small file may say that it is a huge one. */
const mostPixels = 100_000_000;

/**
 * Decodes JPEG, PNG, WebP, GIF, TIFF or AVIF, turned as its EXIF says; transparent parts become black.
 * @param name for errors
 * @throws AIOT_PICTURE_MALFORMED
 */
export async function decodePicture(bytes: Uint8Array, name = 'the picture'): Promise<Picture> {
  const { default: sharp } = await nativePart('sharp', () => import('sharp'));
  // A service that looks at one frame after the other gains nothing by libvips' own threads and cache.
  sharp.concurrency(1);
  sharp.cache(false);
  try {
    const { data, info } = await sharp(bytes, { limitInputPixels: mostPixels })
      .autoOrient()
      .flatten({ background: '#000' })
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, data };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new AiotError('AIOT_PICTURE_MALFORMED', `${name} is no picture that can be decoded: ${reason}`, {
      cause: error,
    });
  }
}

/** @throws AIOT_PICTURE_MALFORMED when the bytes are not those of a picture of this size */
export function rawPicture(width: number, height: number, data: Uint8Array): Picture {
  if (Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0)
    if (data.length === width * height * 3) return { width, height, data };
  throw new AiotError(
    'AIOT_PICTURE_MALFORMED',
    `expected ${width} × ${height} × 3 bytes of a raw picture, got ${data.length}`,
  );
}
