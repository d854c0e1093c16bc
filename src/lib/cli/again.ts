interface Typed {
  flags: object;
  given: (flag: string) => boolean;
}

/**
 * Flags as they were typed on this command line, to be repeated by what is proposed next: ` --project "my watch"`. Those that
 * come from the environment or are defaults need no repeating.
 */
export function again({ flags, given }: Typed, ...names: string[]): string {
  const values = flags as Record<string, unknown>;
  return names
    .filter((name) => given(name))
    .map((name) => ` --${name} ${shellWord(String(values[name]))}`)
    .join('');
}

/** A word as a shell takes it: quoted when it holds more than what a plain path does. */
export function shellWord(text: string): string {
  if (/^[\w@%+=:,./\\-]+$/.test(text)) return text;
  // Double quotes do in every shell; within them a POSIX shell still reads these.
  return /["$`\\!]/.test(text) ? `'${text.replaceAll("'", "'\\''")}'` : `"${text}"`;
}
