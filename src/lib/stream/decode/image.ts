import { type PictureFacts, pictureFacts } from '../../vision/facts.js';
import { undecoded } from './text.js';

export interface ImageInfo extends PictureFacts {
  bytes: number;
}

/** What a picture is, by its header alone: nothing is decompressed. @throws AIOT_STREAM_DECODE */
export function decodeImage(bytes: Buffer): ImageInfo {
  const found = pictureFacts(bytes);
  if (found) return { ...found, bytes: bytes.length };
  throw undecoded('a picture', 'expected JPEG, PNG, GIF, WebP or BMP');
}
