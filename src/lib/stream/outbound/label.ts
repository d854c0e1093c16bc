import { isUtf8 } from 'node:buffer';

/** Longest text that is a label and no document. */
const longest = 200;

/** The label that a message tells: its text, or of a JSON object `voted`, or else `label`. Undefined where it tells none. */
export function labelOf(payload: Uint8Array): string | undefined {
  if (!isUtf8(payload)) return undefined;
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('utf8').trim();
  if (!text.startsWith('{')) return text === '' || text.length > longest ? undefined : text;
  try {
    const { voted, label } = JSON.parse(text) as { voted?: unknown; label?: unknown };
    const found = voted ?? label;
    return typeof found === 'string' && found.length <= longest ? found : undefined;
  } catch {
    return undefined;
  }
}
