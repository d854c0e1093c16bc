import { stripVTControlCharacters } from 'node:util';
import { bold, cyan, dim } from '../render/style.js';
import { lineWidth } from '../render/text.js';

/** Lines of a text wider than this are hard to follow. */
const widest = 100;

/**
 * Markdown as these documents are written, for a terminal: paragraphs and lists as wide as it is, code as it stands, tables a row a line or
 * a paragraph. Pictures are left out, and links are their words.
 */
export function documentText(markdown: string, columns = Math.min(widest, lineWidth())): string {
  const out: string[] = [];
  const lines = markdown.replace(/^<!--.*?-->\n?/gm, '').split('\n');
  for (let at = 0; at < lines.length; ) {
    const line = lines[at]!;
    const end = endOf(lines, at);
    const part = lines.slice(at, end);
    at = end;
    if (line.trim() === '') out.push('');
    else if (/^ *```/.test(line)) out.push(...part.slice(1, -1).map((code) => `  ${cyan(code)}`));
    else if (/^#{1,6} /.test(line)) out.push(...wrapped(inline(line.replace(/^#+ /, '')), columns).map(bold));
    else if (line.startsWith('|')) out.push(...tableText(part, columns));
    else if (!line.startsWith('![')) out.push(...paragraph(part, columns));
  }
  return out
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .replace(/^\n+|\s+$/g, '');
}

/** Behind the part that begins here: a block of code, a table, a heading, an item or a paragraph. */
function endOf(lines: string[], at: number): number {
  const first = lines[at]!;
  const until = (test: (line: string) => boolean) => {
    const end = lines.findIndex((line, i) => i > at && test(line));
    return end < 0 ? lines.length : end;
  };
  if (/^ *```/.test(first)) return Math.min(lines.length, until((line) => /^ *```\s*$/.test(line)) + 1);
  if (first.startsWith('|')) return until((line) => !line.startsWith('|'));
  if (first.trim() === '' || /^#{1,6} /.test(first)) return at + 1;
  return until((line) => line.trim() === '' || /^(?: *(?:[-*]|\d+\.) |\||#{1,6} | *```)/.test(line));
}

function paragraph(lines: string[], columns: number): string[] {
  const [, mark = ''] = /^( *(?:[-*]|\d+\.) |> )/.exec(lines[0]!) ?? [];
  const text = [
    lines[0]!.slice(mark.length),
    ...lines.slice(1).map((line) => line.replace(/^ +|^> /, '')),
  ].join(' ');
  return wrapped(inline(text), columns - mark.length).map(
    (line, i) => (i === 0 ? mark : ' '.repeat(mark.length)) + line,
  );
}

/** Aligned where all rows have room, otherwise each row as a paragraph: what is not cut can be read. */
function tableText(lines: string[], columns: number): string[] {
  const rows = lines.filter((_, i) => i !== 1).map((line) => cellsOf(line).map(inline));
  const widths = rows[0]!.map((_, c) => Math.max(...rows.map((row) => width(row[c] ?? ''))));
  if (widths.reduce((sum, each) => sum + each + 2, 0) <= columns) {
    const aligned = rows.map((row) =>
      row
        .map((cell, c) => cell + ' '.repeat(widths[c]! - width(cell)))
        .join('  ')
        .trimEnd(),
    );
    return aligned.map((line, i) => (i === 0 ? dim(line) : line)).filter((line) => line.trim() !== '');
  }
  const [head = [], ...body] = rows;
  return body.flatMap(([name = '', ...rest]) => {
    const cells = rest.map((cell, c) =>
      cell === '' || !head[c + 1] || rest.length === 1 ? cell : `${dim(`${head[c + 1]}:`)} ${cell}`,
    );
    const about = wrapped(cells.filter((cell) => cell !== '').join(dim(' · ')), columns - 4);
    return [...(name === '' ? [] : wrapped(name, columns).map(bold)), ...about.map((line) => `    ${line}`)];
  });
}

/** A bar within a cell is written `\|`. */
function cellsOf(line: string): string[] {
  const inner = line.trim().replace(/^\||\|$/g, '');
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'));
}

const link = /!?\[((?:[^\]`]|`[^`]*`)*)\]\(([^)]*)\)/g;

function inline(text: string): string {
  const parts = text.replace(link, linkText).split(/`([^`]+)`/);
  return parts.map((part, i) => (i % 2 === 1 ? cyan(part) : emphasized(part))).join('');
}

/** The words of a link, and where it leads as `aiot docs` takes it, where the words are not the page's own. */
function linkText(_: string, words: string, to: string): string {
  if (/^https?:/.test(to)) return words === to ? words : `${words} (${to})`;
  const [, page, place = ''] = /^(?:\.\.\/)?((?:[\w-]+\/)?[\w-]+)?(?:\.md)?(#[\w-]+)?$/.exec(to) ?? [];
  const name = `${page ?? ''}${place}`;
  return name === '' || words.toLowerCase().replaceAll(' ', '-') === name ? words : `${words} (${name})`;
}

function emphasized(text: string): string {
  return text
    .replace(/\*\*([^*]+)\*\*/g, (_, words: string) => bold(words))
    .replace(/\*([^*\s][^*]*)\*/g, '$1');
}

const width = (text: string) => stripVTControlCharacters(text).length;

function wrapped(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/ +/)) {
    if (line !== '' && width(line) + 1 + width(word) > columns) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
