import { isUtf8 } from 'node:buffer';
import type { Header, Message } from '../message.js';

/** What `$name` is for a message, by name. */
export const variables: Record<string, (message: Message) => unknown> = {
  topic: ({ topic }) => topic,
  time: ({ time }) => time,
  key: ({ key }) => (key === undefined ? undefined : textOf(key)),
  headers: ({ headers }) => headersOf(headers),
  source: ({ source }) => source,
  qos: ({ qos }) => qos,
  retain: ({ retain }) => retain,
  position: ({ position }) => position,
};

/** UTF-8, or base64 where it is not. */
function textOf(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString(isUtf8(buffer) ? 'utf8' : 'base64');
}

function headersOf(headers: readonly Header[] = []): Record<string, unknown> {
  const named: Record<string, unknown> = Object.create(null);
  for (const [name, value] of headers) {
    const text = typeof value === 'string' ? value : textOf(value);
    const known = named[name];
    named[name] = known === undefined ? text : Array.isArray(known) ? [...known, text] : [known, text];
  }
  return { ...named };
}
