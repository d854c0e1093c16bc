import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { gunzipSync } from 'node:zlib';
import type { Config } from '@oclif/core';
import { AiotError } from '../core/errors.js';
import { packageRoot } from '../core/folders.js';
import { nearest, shellWord } from '../core/text.js';
import { sheetsFor } from './cheat-sheets.js';
import { bold, cyan, dim, lineWidth } from './render/text.js';

/** A page of docs/ that is part of the program. */
interface DocumentPage {
  /** File name without `.md`, such as `motor`; unique among all pages. */
  page: string;
  title: string;
  /** First sentence of the page. */
  about: string;
  /** Text of the page, in Markdown. */
  text: string;
}

/** A section of a page: its heading, and everything up to the next heading of the same level. */
interface DocumentSection {
  page: string;
  heading: string;
  /** Line of the heading, from 1. */
  line: number;
  text: string;
}

const headingLine = /^(#{1,6}) +(.*)$/;

/** All pages, ordered by name: the files in docs/ or, in an installed package, which has no such folder, dist/docs.json.gz. */
export function documentList(root = packageRoot()): DocumentPage[] {
  const folder = join(root, 'docs');
  const texts = existsSync(folder) ? documentTexts(folder) : packedTexts(join(root, 'dist', 'docs.json.gz'));
  return Object.entries(texts).map(([path, text]) => {
    const title = /^# +(.*)$/m.exec(text)?.[1] ?? path;
    return { page: basename(path, '.md'), title, about: firstSentence(text), text };
  });
}

/** Texts of the pages that `aiot docs` shows, by path relative to docs/. `scripts/pages.js` packs them. */
export function documentTexts(folder: string): Record<string, string> {
  const paths = readdirSync(folder, { recursive: true })
    .map((path) => String(path).replaceAll('\\', '/'))
    .filter((path) => /^(?:models|(?:start|how-to|reference|background)\/[\w-]+)\.md$/.test(path))
    .sort();
  return Object.fromEntries(paths.map((path) => [path, readFileSync(join(folder, path), 'utf8')]));
}

function packedTexts(file: string): Record<string, string> {
  return JSON.parse(gunzipSync(readFileSync(file)).toString());
}

function firstSentence(text: string): string {
  const paragraph = text.split(/\n{2,}/).find((part) => /^[^#|!<`\-\d>]/.test(part)) ?? '';
  const line = paragraph.replaceAll('\n', ' ').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1');
  return /^.*?[.:](?= |$)/.exec(line)?.[0] ?? line;
}

/**
 * A page or, for `page#words`, the page's first section whose heading contains the words.
 * @throws AIOT_NOT_FOUND, listing the available pages or sections
 */
export function documentNamed(name: string, pages = documentList()): DocumentSection {
  const [wanted = '', place] = name.replace(/^(?:.*\/)?([\w-]*?)(?:\.md)?(?=#|$)/, '$1').split('#', 2);
  const names = pages.map(({ page }) => page);
  const found =
    pages.find(({ page }) => page === wanted) ??
    pages.find(({ title }) => title.toLowerCase() === wanted.toLowerCase());
  if (!found) {
    const near = nearest(wanted, names);
    const [closest] = findInDocuments(wanted, pages);
    const hint = near ? `. Did you mean ${near}?` : '';
    throw new AiotError('AIOT_NOT_FOUND', `the page ${wanted} does not exist${hint}`, {
      next: near
        ? `aiot docs ${near}`
        : closest
          ? `The closest page is \`aiot docs ${placeOf(closest)}\`. To search all pages, run \`aiot docs --find ${shellWord(wanted)}\`.`
          : 'To list the pages, run `aiot docs`. To search them, run `aiot docs --find WORDS`.',
    });
  }
  const sections = sectionsOf(found);
  const section =
    place === undefined ? sections[0] : sections.find(({ heading }) => hasWords(heading, wordsOf(place)));
  if (section) return section;
  throw new AiotError('AIOT_NOT_FOUND', `${found.page} has no section ${place}`, {
    next: `Its sections: ${sections.map(({ heading }) => heading).join(', ')}`,
  });
}

/**
 * A page or a section of one or, if there is no such page, the reference of the command of that name.
 * @throws AIOT_NOT_FOUND
 */
export function sectionFor(name: string, config: Config): DocumentSection {
  const pages = documentList();
  const isPage = pages.some(({ page }) => page === /^(?:.*\/)?([\w-]*?)(?:\.md)?(?=#|$)/.exec(name)?.[1]);
  return (isPage ? null : commandDocument(name, config)) ?? documentNamed(name, pages);
}

/** A description without the placeholders of oclif's templates, whose only use is the program's name. */
function plainText(description: string): string {
  return description.replaceAll('<%= config.bin %>', 'aiot');
}

/**
 * The reference section of a command, or of a group of commands; null if there is none of that name. Packages
 * contain the commands themselves, but not the pages about each of them.
 * @param name words of the command, such as `data import`
 */
function commandDocument(name: string, config: Config): DocumentSection | null {
  const words = name
    .replaceAll(':', ' ')
    .replace(/^aiot /, '')
    .trim();
  const id = words.replaceAll(' ', ':');
  const command = config.findCommand(id);
  const below = config.commands.filter((one) => !one.hidden && one.id.startsWith(`${id}:`));
  if (id === '' || (!command && below.length === 0)) return null;
  const lines = [`# aiot ${words}`, '', command?.summary ?? '', '', plainText(command?.description ?? '')];
  if (command) {
    const [[, sheet] = []] = sheetsFor(words, config);
    lines.push('', '```sh', ...(sheet?.lines ?? []).map(([, example]) => example), '```');
    const flags = Object.values(command.flags).filter(
      ({ hidden, helpGroup }) => !hidden && helpGroup !== 'GLOBAL',
    );
    if (flags.length > 0) lines.push('', '| flag | |', '| --- | --- |');
    lines.push(
      ...flags.map((flag) => `| \`--${flag.name}\` | ${(flag.summary ?? '').replaceAll('|', '\\|')} |`),
    );
  }
  if (below.length > 0) lines.push('', '| command | |', '| --- | --- |');
  lines.push(...below.map(({ id, summary = '' }) => `| \`aiot ${id.replaceAll(':', ' ')}\` | ${summary} |`));
  return { page: id, heading: `aiot ${words}`, line: 1, text: lines.join('\n') };
}

/** Words of a question that do not describe its subject. */
const fillers: ReadonlySet<string> = new Set(
  'a an and are as at be by can do does for from get how i if in is it me of on or so that the then there to up was what when where which who why will with you'.split(
    ' ',
  ),
);

/**
 * Sections that contain all of the words or, if there are none, sections with most of them, apart from words such as `how` and `the`. Sections with the words in the heading come first; the others are sorted by how often the words
 * occur relative to the section's length.
 */
export function findInDocuments(words: string, pages = documentList()): DocumentSection[] {
  // The pages address the reader as "you".
  const wanted = wordsOf(words).map((word) => (word === 'my' ? 'own' : word));
  const own = pages.flatMap((page) => ownSections(page));
  const ranked = (hits: readonly DocumentSection[], by: readonly string[]) =>
    hits
      .map((hit) => ({ hit, weight: weightOf(hit, by) }))
      .sort((a, b) => b.weight - a.weight)
      .map(({ hit }) => hit);
  const all = own.filter(({ heading, text }) => hasWords(`${heading}\n${text}`, wanted));
  if (all.length > 0) return ranked(all, wanted);
  const telling = wanted.filter((word) => !fillers.has(word));
  const countOf = ({ page, heading, text }: DocumentSection) =>
    telling.filter((word) => hasWords(`${page}\n${heading}\n${text}`, [word])).length;
  const counts = new Map(own.map((hit) => [hit, countOf(hit)]));
  const most = Math.max(0, ...counts.values());
  if (most <= telling.length / 2) return [];
  return ranked(
    own.filter((hit) => counts.get(hit) === most),
    telling,
  );
}

/** Reference pages that contain almost every word, and therefore rank lower. */
const listings: ReadonlySet<string> = new Set(['benchmarks', 'dependencies', 'errors', 'reliability']);

/** Number of lines that lower a section's rank by one point. */
const linesPerMention = 20;

function weightOf({ page, heading, text }: DocumentSection, words: readonly string[]): number {
  const whole = (where: string) =>
    words.reduce(
      (sum, word) =>
        sum +
        where
          .toLowerCase()
          .split(/[^\p{L}\p{N}]+/u)
          .filter((own) => own === word).length,
      0,
    );
  const inHeading = hasWords(heading, words) ? 20 : 5 * whole(heading);
  const inPage = hasWords(page, words) ? 10 : 0;
  const together = `${heading}\n${text}`
    .toLowerCase()
    .split(/[\s-]+/)
    .join(' ')
    .includes(words.join(' '))
    ? 15
    : 0;
  const looked = listings.has(page) ? 10 : 0;
  return (
    inHeading +
    inPage +
    together +
    Math.min(10, whole(text)) -
    looked -
    text.split('\n').length / linesPerMention
  );
}

/** The argument of `documentNamed` for a section, as a single shell word. */
export function placeOf({ page, heading }: DocumentSection): string {
  const words = heading.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return `${page}#${words.join('-')}`;
}

const wordsOf = (text: string) =>
  text
    .toLowerCase()
    .split(/[\s-]+/)
    .filter(Boolean);

function hasWords(text: string, words: readonly string[]): boolean {
  const all = text.toLowerCase();
  // `email` also finds e-mail.
  const joined = all.replaceAll('-', '');
  return words.length > 0 && words.every((word) => all.includes(word) || joined.includes(word));
}

/** The headings of a page; lines in code blocks are not headings. */
function headingsOf({ text }: DocumentPage): { line: number; depth: number; heading: string }[] {
  const found: { line: number; depth: number; heading: string }[] = [];
  let code = false;
  for (const [line, words] of text.split('\n').entries()) {
    if (/^ *```/.test(words)) code = !code;
    const [, marks, heading] = (!code && headingLine.exec(words)) || [];
    if (marks && heading) found.push({ line, depth: marks.length, heading });
  }
  return found;
}

/** The sections of a page; each includes everything below its heading. */
function sectionsOf(page: DocumentPage): DocumentSection[] {
  const headings = headingsOf(page);
  return headings.map(({ line, depth, heading }, i) => {
    const end = headings.slice(i + 1).find((next) => next.depth <= depth)?.line;
    return section(page, heading, line, end);
  });
}

/** The sections of a page without their subsections, so that no text is found twice. */
function ownSections(page: DocumentPage): DocumentSection[] {
  const headings = headingsOf(page);
  return headings.map(({ line, heading }, i) => section(page, heading, line, headings[i + 1]?.line));
}

function section({ page, text }: DocumentPage, heading: string, line: number, end?: number): DocumentSection {
  return { page, heading, line: line + 1, text: text.split('\n').slice(line, end).join('\n').trimEnd() };
}

/** Maximum width, because longer lines are hard to read. */
const widest = 100;

/**
 * Renders the Markdown of these documents for a terminal: paragraphs and lists are wrapped to its width, code is unchanged, and tables
 * become one line or one paragraph per row. Images are omitted, and links are reduced to their text.
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

/** End of the element that begins here: a code block, a table, a heading, an item or a paragraph. */
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

/** A table as text: aligned if all rows fit. Otherwise, each row becomes a paragraph, so that nothing is cut off. */
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

/** Cells of a table row. A pipe character within a cell is written `\|`. */
function cellsOf(line: string): string[] {
  const inner = line.trim().replace(/^\||\|$/g, '');
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'));
}

const link = /!?\[((?:[^\]`]|`[^`]*`)*)\]\(([^)]*)\)/g;

function inline(text: string): string {
  const parts = text.replace(link, linkText).split(/`([^`]+)`/);
  return parts.map((part, i) => (i % 2 === 1 ? cyan(part) : emphasized(part))).join('');
}

/** A link as text. Its destination is added in the form for `aiot docs`, unless the text already names the page. */
function linkText(_: string, words: string, to: string): string {
  if (/^https?:/.test(to)) return words === to ? words : `${words} (${to})`;
  const [, page, place = ''] = /^(?:(?:\.\.\/)?(?:[\w-]+\/)?([\w-]+))?(?:\.md)?(#[\w-]+)?$/.exec(to) ?? [];
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
