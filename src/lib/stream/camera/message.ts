import { pictureFacts } from '../../vision/facts.js';
import type { Header, Message } from '../message.js';
import type { CameraInput } from './input.js';

/** Names of the headers that say what a frame is. */
export const frameHeaders = {
  contentType: 'content-type',
  width: 'width',
  height: 'height',
  frame: 'frame',
} as const;

/** Content type of raw pixels: rows from the top, red, green, blue, one byte each. */
export const rawRgb = 'image/x-rgb24';

/** One frame as a message: what it is, how large, and which since the camera was opened stand in its headers. */
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
