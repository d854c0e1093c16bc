import { isUtf8 } from 'node:buffer';

/** Variables withheld from other programs: those for communication with systemd, and possible secrets. */
const own = /^(AIOT_|NOTIFY_SOCKET$|WATCHDOG_|CREDENTIALS_DIRECTORY$)/;

/** The environment of a program: ours without aiot's own variables, plus `more`. */
export function environmentFor(more: Readonly<Record<string, string>>): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(([name]) => !own.test(name));
  return { ...Object.fromEntries(kept), ...more };
}

/** Maximum length of a text that is considered a label rather than a document. */
const longest = 200;

/** The label in a message: its text or, in a JSON object, the `voted` member or else `label`. Undefined if there is none. */
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
