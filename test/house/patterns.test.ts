import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { root } from '../support/cli.js';

/** Each regular expression that repeats something, and where it stands first. */
function patternsOf(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
    if (!/\.tsx?$/.test(path)) continue;
    const file = ts.createSourceFile(
      path,
      readFileSync(join(root, folder, path), 'utf8'),
      ts.ScriptTarget.Latest,
      true,
    );
    const visit = (node: ts.Node): void => {
      if (ts.isRegularExpressionLiteral(node) && /[+*]|\{\d+,/.test(node.text) && !found.has(node.text)) {
        const { line } = file.getLineAndCharacterOfPosition(node.getStart());
        found.set(node.text, `${folder}/${path}:${line + 1}`);
      }
      ts.forEachChild(node, visit);
    };
    visit(file);
  }
  return found;
}

/** What is repeated to see how the time grows: signs and words that the pattern speaks of, alone and in pairs. */
function repeatsOf(source: string): string[] {
  const signs = new Set(['a', '0', ' ', '\t', '\n', '#']);
  for (const [sign] of source.replace(/\\[a-z]/gi, '').matchAll(/[^\\()[\]{}^$+*?|a-z\d]/gi)) signs.add(sign);
  for (const [, sign = ''] of source.matchAll(/\\([^a-z\d])/gi)) signs.add(sign);
  const all = [...signs];
  const pairs = all.flatMap((a) => all.slice(0, 6).flatMap((b) => (a === b ? [] : [a + b])));
  const words = [...source.matchAll(/[a-z]{2,}/gi)].map(([word]) => word);
  return [...all, ...words, ...pairs].slice(0, 60);
}

/** What a pattern begins with, where that is the same for all. */
function beginningOf(source: string): string {
  const [, plain = ''] = /^\^?((?:[a-z<"'`: -]|\\[^a-z\d])+)(?![+*?{])/i.exec(source) ?? [];
  return plain.replace(/\\(.)/g, '$1');
}

const longEnough = 3000;
const patienceMs = 500;

/** The text that a pattern takes too long for; twice, for a machine may have been busy. */
function stuckAt(pattern: RegExp): string | undefined {
  const context = createContext({ pattern, text: '' });
  const isStuck = (text: string) => {
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

it('finds a pattern whose time doubles with each sign', () => {
  expect(stuckAt(/^(\s*(#.*)?\n?)*$/)).toBeDefined();
  expect(stuckAt(/^(a+)+$/)).toBeDefined();
  expect(stuckAt(/^[^\s]+@[^\s]+$/)).toBeUndefined();
});

it('has no regular expression whose time grows faster than the square of a text', {
  timeout: 120_000,
}, () => {
  const patterns = new Map([...patternsOf('src'), ...patternsOf('web')]);
  expect(patterns.size).toBeGreaterThan(300);
  const stuck = [...patterns].flatMap(([literal, where]) => {
    const end = literal.lastIndexOf('/');
    const text = stuckAt(new RegExp(literal.slice(1, end), literal.slice(end + 1)));
    return text === undefined ? [] : [`${where}: ${literal} at ${text}`];
  });
  expect(stuck).toEqual([]);
});
