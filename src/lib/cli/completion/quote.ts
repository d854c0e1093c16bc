/** A word in single quotes, as bash and zsh read it. */
export const shQuoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** The same for fish, where backslashes count within them. */
export const fishQuoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** Pattern of a `case` for a key of the table: `* --flag` is of every command. */
export const shPattern = (key: string) =>
  key.startsWith('* ') ? `*${shQuoted(key.slice(1))}` : shQuoted(key);

/** On one line: a summary may have several. */
export const oneLine = (text: string) => text.replaceAll(/\s+/g, ' ').trim();
