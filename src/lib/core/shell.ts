/** A word as a shell takes it: quoted when it holds more than what a plain path does. */
export function shellWord(text: string): string {
  if (/^[\w@%+=:,./\\-]+$/.test(text)) return text;
  // Double quotes do in every shell; within them a POSIX shell still reads these.
  return /["$`\\!]/.test(text) ? `'${text.replaceAll("'", "'\\''")}'` : `"${text}"`;
}
