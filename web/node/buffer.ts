import { Buffer } from 'buffer';

// In place of node:buffer in browsers. The files for a device's identity also use Node's global Buffer.

globalThis.Buffer ??= Buffer as never;

export { Buffer };

export function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
