import { isUtf8 } from 'node:buffer';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { AiotError } from '../../core/errors.js';

/** Full path of a program, found as execvp(3) finds it. @throws AIOT_PROGRAM_NOT_FOUND */
export async function findProgram(
  name: string,
  { PATH = '' }: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string> {
  const candidates = name.includes('/')
    ? [name]
    : PATH.split(delimiter)
        .filter((folder) => folder !== '')
        .map((folder) => join(folder, name));
  for (const path of candidates) {
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  throw new AiotError('AIOT_PROGRAM_NOT_FOUND', `no program ${name} here, or none that may be run`, {
    endpoint: name,
  });
}

/** What of our environment is no other program's business: how we talk to systemd, and what may be secret. */
const own = /^(AIOT_|NOTIFY_SOCKET$|WATCHDOG_|CREDENTIALS_DIRECTORY$)/;

/** What a program sees of the environment: ours without what is aiot's own, and `more`. */
export function environmentFor(more: Readonly<Record<string, string>>): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(([name]) => !own.test(name));
  return { ...Object.fromEntries(kept), ...more };
}

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
