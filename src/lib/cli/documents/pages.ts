import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AiotError, nearest, packageRoot } from '../../core/index.js';

/** A page of docs/ as it comes with the program. */
export interface DocumentPage {
  /** Path below docs/ without `.md`, such as `tutorials/motor`. */
  page: string;
  title: string;
  /** Its first sentence. */
  about: string;
  /** Markdown. */
  text: string;
}

/** A part of a page: its heading, and all up to the next heading as high. */
export interface DocumentSection {
  page: string;
  heading: string;
  /** Where it begins, from 1. */
  line: number;
  text: string;
}

const headingLine = /^(#{1,6}) +(.*)$/;

/** All pages, by name. */
export function documentList(root = packageRoot()): DocumentPage[] {
  const folder = join(root, 'docs');
  return readdirSync(folder, { recursive: true })
    .map((path) => String(path).replaceAll('\\', '/'))
    .filter((path) => /^(?:tutorials\/)?[\w-]+\.md$/.test(path) && !path.endsWith('README.md'))
    .sort()
    .map((path) => {
      const text = readFileSync(join(folder, path), 'utf8');
      const title = /^# +(.*)$/m.exec(text)?.[1] ?? path;
      return { page: path.slice(0, -'.md'.length), title, about: firstSentence(text), text };
    });
}

function firstSentence(text: string): string {
  const paragraph = text.split(/\n{2,}/).find((part) => /^[^#|!<`\-\d>]/.test(part)) ?? '';
  const line = paragraph.replaceAll('\n', ' ').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1');
  return /^.*?[.:](?= |$)/.exec(line)?.[0] ?? line;
}

/**
 * A page, or with `page#words` the first of its sections whose heading has the words.
 * @throws AIOT_NOT_FOUND with the page or the sections that there are
 */
export function documentNamed(name: string, pages = documentList()): DocumentSection {
  const [wanted = '', place] = name.replace(/\.md(?=#|$)/, '').split('#', 2);
  const names = pages.map(({ page }) => page);
  const found =
    pages.find(({ page }) => page === wanted) ??
    pages.find(({ page }) => page.endsWith(`/${wanted}`)) ??
    pages.find(({ title }) => title.toLowerCase() === wanted.toLowerCase());
  if (!found) {
    const near = nearest(wanted, names);
    throw new AiotError('AIOT_NOT_FOUND', `there is no page ${wanted}`, {
      next: near ? `aiot docs ${near}` : 'aiot docs names all pages; aiot docs --find WORDS looks in them.',
    });
  }
  const sections = sectionsOf(found);
  const section =
    place === undefined ? sections[0] : sections.find(({ heading }) => hasWords(heading, wordsOf(place)));
  if (section) return section;
  throw new AiotError('AIOT_NOT_FOUND', `${found.page} has no section ${place}`, {
    next: `It has: ${sections.map(({ heading }) => heading).join(', ')}`,
  });
}

/**
 * Sections that have all of the words: first those with the words in the heading, then by how often they have them as whole words,
 * for its length.
 */
export function findInDocuments(words: string, pages = documentList()): DocumentSection[] {
  const wanted = wordsOf(words);
  const own = pages.flatMap((page) => ownSections(page));
  return own
    .filter(({ heading, text }) => hasWords(`${heading}\n${text}`, wanted))
    .map((hit) => ({ hit, weight: weightOf(hit, wanted) }))
    .sort((a, b) => b.weight - a.weight)
    .map(({ hit }) => hit);
}

/** Pages that are looked up rather than read: they have every word there is. */
const listings: ReadonlySet<string> = new Set(['benchmarks', 'dependencies', 'errors', 'reliability']);

/** So many lines count as one mention less. */
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

/** How `documentNamed` takes a section: one word for a shell. */
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
  return words.length > 0 && words.every((word) => all.includes(word));
}

/** The headings of a page; what stands in a block of code is none. */
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

/** Each heading with all that is below it. */
function sectionsOf(page: DocumentPage): DocumentSection[] {
  const headings = headingsOf(page);
  return headings.map(({ line, depth, heading }, i) => {
    const end = headings.slice(i + 1).find((next) => next.depth <= depth)?.line;
    return section(page, heading, line, end);
  });
}

/** Each heading with what stands before the next one, so that nothing is found twice. */
function ownSections(page: DocumentPage): DocumentSection[] {
  const headings = headingsOf(page);
  return headings.map(({ line, heading }, i) => section(page, heading, line, headings[i + 1]?.line));
}

function section({ page, text }: DocumentPage, heading: string, line: number, end?: number): DocumentSection {
  return { page, heading, line: line + 1, text: text.split('\n').slice(line, end).join('\n').trimEnd() };
}
