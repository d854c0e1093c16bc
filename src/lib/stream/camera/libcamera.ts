import { AiotError } from '../../core/index.js';

/** How a Raspberry Pi's own cameras are read: rpicam-vid, which older systems call libcamera-vid. */
export const libcameraPrograms = ['rpicam-vid', 'libcamera-vid'] as const;

/** Without rows that end in padding, which nobody tells the length of. */
const rowStep = 64;

export interface LibcameraFrames {
  fps: number;
  width: number;
  height: number;
  format: 'jpeg' | 'rgb';
}

/**
 * Arguments of rpicam-vid for endless frames on its stdout: JPEG after JPEG, or planes of YUV 4:2:0, from which RGB is made here.
 * @param camera its number, as `rpicam-hello --list-cameras` shows
 * @throws AIOT_STREAM_URL
 */
export function libcameraArgs(camera: string, { fps, width, height, format }: LibcameraFrames): string[] {
  if (!/^\d{0,2}$/.test(camera))
    throw new AiotError(
      'AIOT_STREAM_URL',
      `expected camera:libcamera or camera:libcamera:NUMBER, got ${camera}`,
    );
  if (format === 'rgb' && (width % rowStep !== 0 || height % 2 !== 0))
    throw new AiotError(
      'AIOT_STREAM_URL',
      `size=${width}x${height}: with format=rgb expected a width in steps of ${rowStep} and an even height`,
    );
  return [
    ...['--timeout', '0', '--nopreview', '--flush', '--camera', camera || '0'],
    ...['--width', `${width}`, '--height', `${height}`, '--framerate', `${fps}`],
    ...(format === 'rgb' ? ['--codec', 'yuv420'] : ['--codec', 'mjpeg', '--quality', '80']),
    ...['--output', '-'],
  ];
}
