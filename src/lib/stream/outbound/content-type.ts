import { isUtf8 } from 'node:buffer';
import { parsedJson } from '../../core/text.js';
import { type Header, mqttHeaders } from '../message.js';

/** First bytes of picture formats (PNG 5.2, JPEG's SOI, GIF, RIFF … WEBP), as Latin-1. */
const pictures: readonly (readonly [RegExp, string])[] = [
  [/^\x89PNG\r\n/, 'image/png'],
  [/^\xff\xd8\xff/, 'image/jpeg'],
  [/^GIF8[79]a/, 'image/gif'],
  [/^RIFF.{4}WEBP/s, 'image/webp'],
];

/**
 * The content type given in the message, or else the type detected from its bytes: a picture, JSON, text, or plain
 * bytes.
 */
export function contentTypeOf(payload: Uint8Array, headers: readonly Header[] = []): string {
  const said = headers.find(([name]) => name.toLowerCase() === mqttHeaders.contentType)?.[1];
  if (said !== undefined) {
    const text = typeof said === 'string' ? said : Buffer.from(said).toString('latin1');
    if (/^[\x20-\x7e]{1,200}$/.test(text)) return text;
  }
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const start = bytes.toString('latin1', 0, 16);
  const picture = pictures.find(([magic]) => magic.test(start));
  if (picture) return picture[1];
  if (!isUtf8(bytes)) return 'application/octet-stream';
  // Parsing is limited to payloads that look like JSON, because parsing a frame of several megabytes is expensive.
  if (/^[\s]*[[{"\d-]|^(true|false|null)$/.test(start) && parsedJson(bytes) !== undefined)
    return 'application/json';
  return 'text/plain; charset=utf-8';
}
