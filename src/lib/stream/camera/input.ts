import { statSync } from 'node:fs';
import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { pictureFacts } from '../../vision/facts.js';
import { decodePicture, type Picture, rawPicture } from '../../vision/picture.js';
import type { Header, Message } from '../message.js';
import { queryBoolean, readQuery, type StreamUrl } from '../url.js';

/** A camera and the requested format of its frames. */
export interface CameraInput {
  /** Address of the camera, without credentials. */
  endpoint: string;
  /** Topic of the camera's messages. */
  topic: string;
  /** Whether the input is endless. If so, it is reopened when its frames end. */
  live: boolean;
  /** Frames per second. */
  fps: number;
  width: number;
  height: number;
  format: 'jpeg' | 'rgb';
  /** Programs that can read the camera. The first installed program is run. */
  programs: readonly string[];
  /** Arguments of the program, which may contain a password. */
  args: string[];
}

const fps = z.coerce
  .number('expected frames per second')
  .positive('expected more than 0')
  .max(240, 'expected at most 240');

const size = z
  .string()
  .regex(/^[1-9]\d{0,4}x[1-9]\d{0,4}$/, 'expected WIDTHxHEIGHT, such as 640x480')
  .transform((text) => text.split('x').map(Number) as [number, number]);

const settings = {
  fps: fps.prefault('10'),
  size: size.prefault('640x480'),
  /** jpeg = compressed, for brokers and files; rgb = raw pixels, for use within this process. */
  format: z.enum(['jpeg', 'rgb']).default('jpeg'),
  /** The device's native pixel format, by V4L2's name. */
  input: z
    .string()
    .regex(/^[a-z0-9_]+$/i)
    .default('mjpeg'),
  /** Whether a file is restarted when it ends. */
  loop: queryBoolean.default(false),
  topic: z.string().min(1).optional(),
};

/** The camera to use if no device is named, by operating system. */
const firstCamera: Partial<Record<NodeJS.Platform, string>> = {
  linux: '/dev/video0',
  darwin: 'avfoundation:0',
};

/**
 * `camera:///dev/video0` is a V4L2 device; `camera:///x.mp4` or `x.png` is a file, read at its own frame rate. `camera:rtsp://HOST/…`
 * and `http(s)://` are network cameras, and `camera:libcamera` is a Raspberry Pi's own camera. `camera:lavfi:GRAPH` and any other
 * FORMAT:NAME are input devices of ffmpeg.
 * @throws AIOT_STREAM_URL
 */
export function cameraInput(url: StreamUrl): CameraInput {
  const { fps, size, format, input, loop, topic } = readQuery(url, settings);
  const place = url.path || firstCamera[process.platform] || '';
  const [width, height] = size;
  const [, own] = /^libcamera(?::(.*))?$/.exec(place) ?? [place, undefined];
  if (/^libcamera(:|$)/.test(place)) {
    const frames = { fps, width, height, format };
    return {
      ...{ endpoint: `camera:${place}`, topic: topic ?? 'camera', live: true, ...frames },
      ...{ programs: libcameraPrograms, args: libcameraArgs(own ?? '', frames) },
    };
  }
  const kind = kindOf(place);
  const copies = kind === 'device' && format === 'jpeg' && /^m?jpeg$/.test(input);
  const reading: Record<typeof kind, string[]> = {
    device: [
      '-f',
      'v4l2',
      '-input_format',
      input,
      '-framerate',
      `${fps}`,
      '-video_size',
      `${width}x${height}`,
    ],
    picture: ['-re', '-loop', '1', '-framerate', `${fps}`],
    file: ['-re', ...(loop ? ['-stream_loop', '-1'] : [])],
    network: ['-fflags', 'nobuffer', ...(/^rtsps?:/i.test(place) ? ['-rtsp_transport', 'tcp'] : [])],
    lavfi: ['-re', '-f', 'lavfi'],
    format: ['-f', place.slice(0, place.indexOf(':')), '-framerate', `${fps}`],
  };
  const named = kind === 'lavfi' || kind === 'format' ? place.slice(place.indexOf(':') + 1) : place;
  const fit = `fps=${fps},scale=${width}:${height}:force_original_aspect_ratio=decrease,pad=${width}:${height}:-1:-1`;
  const writing = {
    rgb: ['-vf', fit, '-pix_fmt', 'rgb24', '-f', 'rawvideo'],
    jpeg: copies
      ? ['-c:v', 'copy', '-f', 'mjpeg']
      : ['-vf', fit, '-c:v', 'mjpeg', '-q:v', '4', '-f', 'mjpeg'],
  };
  return {
    endpoint: `camera:${withoutCredentials(place)}`,
    topic: topic ?? topicOf(place),
    live: kind === 'device' || kind === 'network' || kind === 'format',
    fps,
    width,
    height,
    format,
    programs: ['ffmpeg'],
    // One thread is enough for small pictures, and leaves CPU time for other work.
    args: [
      ...['-hide_banner', '-loglevel', 'error', '-nostdin', '-threads', '1'],
      ...[...reading[kind], '-i', named, '-an', '-threads', '1', ...writing[format], '-'],
    ],
  };
}

function kindOf(place: string): 'device' | 'picture' | 'file' | 'network' | 'lavfi' | 'format' {
  if (/^(rtsps?|rtmp|https?|udp|tcp|srt):\/\//i.test(place)) return 'network';
  if (place.startsWith('lavfi:')) return 'lavfi';
  if (/^[a-z0-9_]{2,}:./i.test(place)) return 'format';
  if (place === '')
    throw new AiotError('AIOT_STREAM_URL', 'expected a camera, such as camera:///dev/video0, got none');
  // A missing file may be a camera that has not been plugged in yet.
  const found = statSync(place, { throwIfNoEntry: false });
  if (!found?.isFile()) return 'device';
  return /\.(jpe?g|png|webp|bmp)$/i.test(place) ? 'picture' : 'file';
}

/** Removes the userinfo and the query from a network camera's URL, because both may contain secrets. */
export function withoutCredentials(text: string): string {
  return text.replace(/([a-z]+:\/\/)([^/@\s]*@)?([^\s?]*)(\?\S*)?/gi, '$1$3');
}

/** Topic for an address: `video0` for `/dev/video0`, or `camera` if the address contains no name. */
function topicOf(place: string): string {
  return /^[^:]*\/([\w-]+)(\.\w+)?$/.exec(place)?.[1] ?? 'camera';
}

/** Reads a Raspberry Pi's own cameras with rpicam-vid, which older systems call libcamera-vid. */
export const libcameraPrograms = ['rpicam-vid', 'libcamera-vid'] as const;

/**
 * RGB widths must be multiples of this number of pixels. At other widths, libcamera pads the rows without reporting the size of the
 * padding.
 */
const rowStep = 64;

interface LibcameraFrames {
  fps: number;
  width: number;
  height: number;
  format: 'jpeg' | 'rgb';
}

/**
 * Arguments of rpicam-vid for endless frames on its stdout: consecutive JPEGs, or YUV 4:2:0 planes, which are converted to RGB
 * here.
 * @param camera number of the camera, as listed by `rpicam-hello --list-cameras`
 * @throws AIOT_STREAM_URL
 */
function libcameraArgs(camera: string, { fps, width, height, format }: LibcameraFrames): string[] {
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

/** Names of the headers that describe a frame. */
export const frameHeaders = {
  contentType: 'content-type',
  width: 'width',
  height: 'height',
  frame: 'frame',
} as const;

/** Content type of raw pixels: rows from top to bottom; red, green and blue, one byte each. */
export const rawRgb = 'image/x-rgb24';

/** One frame as a message: the headers contain its format, its size, and its number since the camera was opened. */
export function frameMessage(input: CameraInput, payload: Buffer, frame: number): Message {
  const facts = input.format === 'rgb' ? input : pictureFacts(payload);
  return {
    topic: input.topic,
    payload,
    time: Date.now(),
    headers: pictureHeaders(input.format === 'rgb' ? rawRgb : 'image/jpeg', facts, frame),
    source: input.endpoint,
  };
}

/** The pixels of a message with a picture: a frame of a camera, or any picture file. @throws AIOT_FILE_MALFORMED */
export async function pictureOf({ headers, payload, topic }: Message): Promise<Picture> {
  const header = (name: string) => String(headers?.find(([key]) => key === name)?.[1] ?? '');
  if (header(frameHeaders.contentType) === rawRgb)
    return rawPicture(Number(header(frameHeaders.width)), Number(header(frameHeaders.height)), payload);
  return decodePicture(payload, `a message of ${topic}`);
}

export function pictureHeaders(
  contentType: string,
  size: { width: number; height: number } | undefined,
  frame: number,
): Header[] {
  const headers: Header[] = [[frameHeaders.contentType, contentType]];
  if (size) headers.push([frameHeaders.width, `${size.width}`], [frameHeaders.height, `${size.height}`]);
  headers.push([frameHeaders.frame, `${frame}`]);
  return headers;
}
