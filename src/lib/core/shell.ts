/** What needs no quotes; a backslash is a part of Windows' paths, and an escape elsewhere. */
const plain = process.platform === 'win32' ? /^[\w@%+=:,./\\-]+$/ : /^[\w@%+=:,./-]+$/;

/** A word as a shell takes it: quoted when it holds more than what a plain path does. */
export function shellWord(text: string): string {
  if (plain.test(text)) return text;
  // Double quotes do in every shell; within them a POSIX shell still reads these.
  return /["$`\\!]/.test(text) ? `'${text.replaceAll("'", "'\\''")}'` : `"${text}"`;
}
