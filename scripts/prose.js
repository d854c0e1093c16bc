// Finds sentences that docs, help, errors and comments should avoid: house words, free relatives, more than 30 words, chains of passives.
// Run by `npm run lint`. Prints each with its position and a suggestion, and exits 1 if there are any. The words are in prose-words.js.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { avoided, mostWords, passiveChain } from './prose-words.js';

/** @typedef {'docs' | 'command' | 'error' | 'comment'} Kind */
/** @typedef {{ text: string, line: number, kind: Kind }} Passage text of one paragraph, cell or comment, and its first line */

/**
 * The findings in a passage, one line each.
 * @param {Passage} passage
 * @returns {string[]}
 */
export function findingsIn({ text, kind }) {
  return sentencesOf(text).flatMap((sentence) => [
    ...avoided
      .filter((rule) => rule.in?.includes(kind) ?? true)
      .flatMap(({ pattern, instead }) => {
        const found = pattern.exec(sentence);
        return found ? [`"${found[0]}": write ${instead}: ${sentence}`] : [];
      }),
    ...tooLong(sentence),
    ...chained(sentence),
  ]);
}

function tooLong(sentence) {
  const words = sentence.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;
  return words > mostWords ? [`${words} words, at most ${mostWords}: ${sentence}`] : [];
}

function chained(sentence) {
  const passives = sentence.match(/\b(?:is|are|was|were|be|been|being) (?:\w+ly )?\w+(?:ed|en)\b/gi) ?? [];
  return passives.length >= passiveChain ? [`${passives.length} passives in one sentence: ${sentence}`] : [];
}

/**
 * Sentences of a paragraph, or items separated by middle dots. Code counts as one word. A semicolon or a colon does not end a sentence.
 * @param {string} text
 */
export function sentencesOf(text) {
  return text
    .replace(/`[^`]+`/g, '`code`')
    .replace(/\s+/g, ' ')
    .split(/(?<=(?<!\b(?:e\.g|i\.e|etc|vs))[.!?])["”)]?\s+| · /u)
    .map((sentence) => sentence.trim())
    .filter(Boolean);
}

/**
 * Paragraphs, list items and table cells of a page; no code, no HTML.
 * @param {string} page
 * @returns {Passage[]}
 */
export function passagesOfMarkdown(page) {
  const passages = [];
  let fenced = false;
  let open = null;
  const close = () => {
    if (open) passages.push(open);
    open = null;
  };
  for (const [at, raw] of page.split('\n').entries()) {
    const line = raw
      .replace(/<[^>]*>/g, '')
      .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replace(/\*+/g, '');
    if (/^\s*```/.test(line)) fenced = !fenced;
    else if (fenced) continue;
    else if (/^\s*\|/.test(line)) {
      close();
      for (const cell of line.split(/(?<!\\)\|/))
        passages.push({ text: cell.trim(), line: at + 1, kind: 'docs' });
    } else if (line.trim() === '' || /^#/.test(line)) close();
    else if (/^\s*(?:[-*>]|\d+\.) /.test(line)) {
      close();
      open = { text: line.replace(/^\s*(?:[-*>]|\d+\.) /, ''), line: at + 1, kind: 'docs' };
    } else if (open) open.text += ` ${line.trim()}`;
    else open = { text: line.trim(), line: at + 1, kind: 'docs' };
  }
  close();
  return passages.filter(({ text }) => /\p{L}/u.test(text));
}

/**
 * Comments and, in files of commands and errors, the texts that people read.
 * @param {string} path
 * @param {string} source
 * @returns {Passage[]}
 */
export function passagesOfSource(path, source) {
  const file = ts.createSourceFile(
    path,
    source,
    ts.ScriptTarget.Latest,
    true,
    path.endsWith('x') ? ts.ScriptKind.TSX : ts.ScriptKind.TS,
  );
  const lineOf = (at) => file.getLineAndCharacterOfPosition(at).line + 1;
  return [...commentsOf(source, file, lineOf), ...textsOf(path, file, lineOf)];
}

function commentsOf(source, file, lineOf) {
  const seen = new Map();
  const visit = (node) => {
    for (const range of ts.getLeadingCommentRanges(source, node.pos) ?? []) seen.set(range.pos, range);
    for (const range of ts.getTrailingCommentRanges(source, node.end) ?? []) seen.set(range.pos, range);
    node.getChildren(file).forEach(visit);
  };
  visit(file);
  const passages = [];
  let last = null;
  for (const { pos, end } of [...seen.values()].sort((a, b) => a.pos - b.pos)) {
    const raw = source.slice(pos, end);
    if (/^\/\/ (?:biome-ignore|@ts-|\d|\/)|^\/\/#/.test(raw) || /^\/\*! /.test(raw)) continue;
    const text = raw
      .replace(/^\/\*+|\*+\/$/g, '')
      .replace(/^\s*\* {5}.*$/gm, '')
      .replace(/^\s*\*? ?/gm, '')
      .replace(/^\/\/ ?/, '')
      .replace(/^@\w[\s\S]*$/m, '')
      .replace(/\{@link ([^}]*)\}/g, '$1')
      .trim();
    // Consecutive one-line comments form one text.
    const joins = last && raw.startsWith('//') && /^\s*$/.test(source.slice(last.end, pos)) && last.single;
    if (joins) last.passage.text += ` ${text}`;
    else
      for (const part of text.split(/\n\s*\n|\n(?=- )/))
        passages.push({ text: part, line: lineOf(pos), kind: 'comment' });
    last = { end, single: raw.startsWith('//'), passage: passages.at(-1) };
  }
  return passages.filter(({ text }) => /\p{L}/u.test(text));
}

const textProperties = new Set([
  'summary',
  'description',
  'title',
  'message',
  'next',
  'cause',
  'fix',
  'meaning',
  'happens',
]);

function textsOf(path, file, lineOf) {
  const kind =
    path.includes('src/commands') || path.includes('cli/flags')
      ? 'command'
      : /core\/errors/.test(path)
        ? 'error'
        : null;
  const passages = [];
  const visit = (node) => {
    if (kind && (ts.isPropertyAssignment(node) || ts.isPropertyDeclaration(node)) && node.initializer) {
      const name = node.name.getText(file);
      const { initializer } = node;
      if (textProperties.has(name) && ts.isStringLiteralLike(initializer))
        passages.push({ text: initializer.text, line: lineOf(initializer.getStart(file)), kind });
    }
    if (ts.isNewExpression(node) && node.expression.getText(file).endsWith('Error')) {
      const message = node.arguments?.[1];
      if (message && (ts.isStringLiteralLike(message) || ts.isTemplateExpression(message)))
        passages.push({
          text: message
            .getText(file)
            .slice(1, -1)
            .replace(/\$\{[^}]*\}/g, 'X'),
          line: lineOf(message.getStart(file)),
          kind: 'error',
        });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return passages;
}

/** Files that are not checked. Decisions and the changelog quote older words. For generated pages, the sources are checked. */
const unread =
  /^docs\/(?:background\/decisions|reference\/(?:cli|schemas|errors\.md|api\.md))|^CHANGELOG|\/golden\/|\.d\.ts$/;

/**
 * Every finding in the repository.
 * @param {string} root
 */
export function proseFindings(root) {
  const listed = execFileSync(
    'git',
    ['ls-files', '*.md', 'src/**/*.ts', 'web/**/*.ts', 'web/**/*.tsx', 'src/*.ts'],
    { cwd: root, encoding: 'utf8' },
  );
  const paths = [...new Set(listed.trim().split('\n'))].filter((path) => !unread.test(path));
  return paths.flatMap((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    const passages = path.endsWith('.md') ? passagesOfMarkdown(text) : passagesOfSource(path, text);
    return passages.flatMap((passage) =>
      findingsIn(passage).map((found) => `${path}:${passage.line}: ${found}`),
    );
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const findings = proseFindings(join(dirname(fileURLToPath(import.meta.url)), '..'));
  for (const finding of findings) console.error(finding);
  if (findings.length > 0) {
    console.error(`${findings.length} passages to reword; the words are in scripts/prose-words.js.`);
    process.exitCode = 1;
  }
}
