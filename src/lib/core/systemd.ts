/** How words and values are written in a unit of systemd, so that they come out as they are. */

/** A word of a command line (systemd.service(5), "Command lines"): quotes and backslashes as in C, `$` and `%` doubled. */
export function unitWord(text: string): string {
  return unitQuoted(unitValue(text).replaceAll('$', '$$$$'));
}

/** A value that is taken as a whole (systemd.unit(5), "Specifiers"): `%` doubled, and one line. */
export const unitValue = (text: string) => text.replaceAll('%', '%%').replaceAll(/[\r\n]/g, ' ');

/** In quotes where it needs them; specifiers stay what they are. */
export function unitQuoted(text: string): string {
  if (/^[\w@%+=:,./$-]+$/.test(text)) return text;
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** `[Name]` and its lines, for each; the last line ends too. */
export function unitSections(sections: Readonly<Record<string, readonly string[]>>): string {
  return Object.entries(sections)
    .map(([name, lines]) => `[${name}]\n${lines.map((line) => `${line}\n`).join('')}`)
    .join('\n');
}
