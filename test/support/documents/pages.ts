import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../cli.js';
import { type Reading, wrongWith } from './command-line.js';
import { shellCommands, shellLines } from './shell.js';

/** A block of shell lines in a document. */
export interface Block {
  text: string;
  /** Line number of its first line in the file. */
  line: number;
  /** The instruction in the comment above the block, such as `<!-- run -->` or `<!-- run: beside, long -->`. */
  run: { beside: boolean; long: boolean } | null;
}

/** Pages of prose that contain commands. Pages in docs/reference/cli are generated from the commands, and decisions describe the past. */
export const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'ARCHITECTURE.md',
  ...['docs', 'templates', 'examples', 'firmware'].flatMap(markdownIn),
];

export function markdownIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true })
    .map((path) => `${folder}/${path}`)
    .filter((path) => path.endsWith('.md') && !/^docs\/(?:reference\/cli|background\/decisions)\//.test(path))
    .sort();
}

export function pageText(page: string): string {
  return readFileSync(join(root, page), 'utf8');
}

/** The shell blocks of a document, in order. */
export function blocksOf(text: string): Block[] {
  const pattern = /(?:^<!-- run(?:: ([a-z, ]+))? -->\n)?^( *)```(?:sh|bash)\n([\s\S]*?)^\2```$/gm;
  const found = [...text.matchAll(pattern)];
  // A comment that no pattern finds would silently leave its block untyped.
  const comments = [...text.matchAll(/^<!-- run\b.*$/gm)].length;
  const marked = found.filter(([all]) => all.startsWith('<!-- run')).length;
  if (comments !== marked)
    throw new Error(
      `${comments} comments "run", of which ${marked} stand directly above a shell block in a known form`,
    );
  return found.map((match) => {
    const [all, how, , block = ''] = match;
    const marks = (how ?? '').split(', ').filter(Boolean);
    const strange = marks.find((mark) => mark !== 'beside' && mark !== 'long');
    if (strange) throw new Error(`<!-- run: ${strange} --> is not known`);
    const before = text.slice(0, match.index + all.indexOf('```'));
    return {
      text: block.trimEnd(),
      line: before.split('\n').length + 1,
      run: all.startsWith('<!-- run')
        ? { beside: marks.includes('beside'), long: marks.includes('long') }
        : null,
    };
  });
}

/** Returns the commands that cannot be typed as documented, as `PAGE:LINE: COMMAND: why`. */
export function wrongIn(page: string): string[] {
  const text = pageText(page);
  const typed = blocksOf(text).flatMap(({ text: block, line }) => wrongLines(block, 'typed', line));
  const spans = [...text.matchAll(/`(aiot [^`\n]+)`/g)].map(([, code]) => code ?? '');
  const spoken = spans.flatMap((span) => wrongLines(span, 'spoken'));
  return [...typed.map((problem) => `${page}:${problem}`), ...spoken.map((problem) => `${page}:${problem}`)];
}

/** Checks some shell lines the same way. Each problem includes its line number. */
export function wrongLines(lines: string, reading: Reading, first = 1): string[] {
  return shellLines(lines, first)
    .flatMap(shellCommands)
    .flatMap(({ words, line }) => {
      const own = ofAiot(words);
      const why = own && wrongWith(own, reading);
      return why ? [`${reading === 'typed' ? `${line}: ` : ' '}aiot ${own.join(' ')}: ${why}`] : [];
    });
}

/** The words after `aiot`, even if it is run through another program such as sudo; undefined if the line does not run aiot. */
function ofAiot(words: readonly string[]): string[] | undefined {
  const at = words.findIndex((word) => word === 'aiot' || word.endsWith('bin/run.js'));
  if (at < 0) return undefined;
  const runs =
    at === 0 || /^(?:sudo|env|ssh|time|timeout|nohup|exec|node|if|while|until|!|do|then)$/.test(words[0]!);
  return runs ? words.slice(at + 1) : undefined;
}
