// man(7), as groff and mandoc read it.

/** Text as it stands: what roff would take for its own is escaped. */
export const text = (words) =>
  String(words ?? '')
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('`', '\\(ga')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll('"', '\\(dq');

/** Prose: each sentence begins a line, hyphens stay hyphens, and what is typed (in backticks) is bold. */
export function prose(words) {
  return text(words)
    .replaceAll(/\\\(ga(.+?)\\\(ga/g, '\\fB$1\\fR')
    .replaceAll(/(?<=\w)\\-(?=\w)/g, '-')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .split(/(?<=[.!?]) (?=[A-Z“])/)
    .map(guarded)
    .join('\n');
}

/** A line that begins with a dot would be a request. */
export const guarded = (line) => (/^[.']/.test(line) ? `\\&${line}` : line);

export const section = (name, body) => `.SH ${name}\n${body}\n`;

/** A term in bold, and what it means below it. */
export const term = (head, body) => `.TP\n${head}\n${body}\n`;
export const bold = (words) => `\\fB${text(words)}\\fR`;
export const italic = (words) => `\\fI${text(words)}\\fR`;

/** Lines as they are, to be copied. */
export const example = (lines) =>
  `.RS 4\n.nf\n${lines.map((line) => guarded(text(line))).join('\n')}\n.fi\n.RE\n`;
