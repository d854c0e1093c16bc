// Finds regular expressions in src and web whose time grows faster than the square of the text's length. With such an expression, a
// single request could stall the platform. Run by `npm run lint`. Prints each expression with a text that takes too long, and exits 1 if
// there are any.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import ts from 'typescript';

/**
 * Checks the patterns in these folders.
 * @param {string[]} folders
 * @returns {{ patterns: number, stuck: string[] }} number of patterns with repetitions, and a line for each that takes too long
 */
export function slowPatterns(folders) {
  const patterns = new Map(folders.flatMap((folder) => [...patternsOf(folder)]));
  const stuck = [...patterns].flatMap(([literal, where]) => {
    const end = literal.lastIndexOf('/');
    const text = stuckAt(new RegExp(literal.slice(1, end), literal.slice(end + 1)));
    return text === undefined ? [] : [`${where}: ${literal} at ${text}`];
  });
  return { patterns: patterns.size, stuck };
}

/**
 * Regular expressions with repetitions, and where each first occurs.
 * @param {string} folder
 * @returns {Map<string, string>}
 */
function patternsOf(folder) {
  const found = new Map();
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!/\.tsx?$/.test(path)) continue;
    const text = readFileSync(join(folder, path), 'utf8');
    const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
    const visit = (node) => {
      if (ts.isRegularExpressionLiteral(node) && /[+*]|\{\d+,/.test(node.text) && !found.has(node.text)) {
        const { line } = file.getLineAndCharacterOfPosition(node.getStart());
        found.set(node.text, `${relative(process.cwd(), join(folder, path))}:${line + 1}`);
      }
      ts.forEachChild(node, visit);
    };
    visit(file);
  }
  return found;
}

const longEnough = 3000;
const patienceMs = 500;

/**
 * A text for which a pattern takes too long. Each text is tried twice, because the machine may have been busy.
 * @param {RegExp} pattern
 * @returns {string | undefined}
 */
export function stuckAt(pattern) {
  const context = createContext({ pattern, text: '' });
  const isStuck = (text) => {
    context.text = text;
    try {
      runInContext('pattern.lastIndex = 0; pattern.test(text)', context, { timeout: patienceMs });
      return false;
    } catch {
      return true;
    }
  };
  for (const repeated of repeatsOf(pattern.source)) {
    for (const begins of new Set(['', beginningOf(pattern.source)])) {
      for (const ends of ['\0', '\nq', '!']) {
        const text = begins + repeated.repeat(Math.ceil(longEnough / repeated.length)) + ends;
        if (isStuck(text) && isStuck(text)) return JSON.stringify(begins + repeated.repeat(8) + ends);
      }
    }
  }
  return undefined;
}

/**
 * Texts to repeat when measuring how the time grows: characters and words of the pattern, alone and in pairs.
 * @param {string} source
 */
function repeatsOf(source) {
  const signs = new Set(['a', '0', ' ', '\t', '\n', '#']);
  for (const [sign] of source.replace(/\\[a-z]/gi, '').matchAll(/[^\\()[\]{}^$+*?|a-z\d]/gi)) signs.add(sign);
  for (const [, sign = ''] of source.matchAll(/\\([^a-z\d])/gi)) signs.add(sign);
  const all = [...signs];
  const pairs = all.flatMap((a) => all.slice(0, 6).flatMap((b) => (a === b ? [] : [a + b])));
  const words = [...source.matchAll(/[a-z]{2,}/gi)].map(([word]) => word);
  return [...all, ...words, ...pairs].slice(0, 60);
}

/** The literal beginning of a pattern, which all matching texts share. */
function beginningOf(source) {
  const [, plain = ''] = /^\^?((?:[a-z<"'`: -]|\\[^a-z\d])+)(?![+*?{])/i.exec(source) ?? [];
  return plain.replace(/\\(.)/g, '$1');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const { patterns, stuck } = slowPatterns([join(root, 'src'), join(root, 'web')]);
  for (const line of stuck) console.error(line);
  // src and web contain more than 400 such expressions. If far fewer are found, the search itself is broken.
  const broken = patterns < 300;
  if (broken) console.error(`found only ${patterns} regular expressions that repeat something`);
  process.exitCode = stuck.length > 0 || broken ? 1 : 0;
}
