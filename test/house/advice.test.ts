import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { beforeAll, describe, expect, it } from 'vitest';
import { type CommandFile, exampleText, loadCommands } from '../../scripts/docs/commands.js';
import { sourcesIn } from '../../scripts/imports.js';
import { allCheatSheets } from '../../src/lib/cli/cheat-sheets.js';
import { documentList, documentNamed } from '../../src/lib/cli/documents.js';
import { type CatalogueEntry, catalogue } from '../../src/lib/core/catalogue.js';
import { root } from '../support/cli.js';
import { wrongLines } from '../support/documents/pages.js';

let commands: CommandFile[] = [];
beforeAll(async () => {
  commands = await loadCommands(root);
});

const spoken = (lines: string[]) => lines.flatMap((line) => wrongLines(line, 'spoken'));

describe('suggested commands', () => {
  it('exist in the error catalog', () => {
    const texts = Object.values<CatalogueEntry>(catalogue).flatMap(({ about, next, subjects = {} }) => [
      about,
      next,
      ...Object.values(subjects),
    ]);
    // A command within a sentence is in backticks, but a command at the end, after a colon or alone, is not.
    const lines = texts.flatMap((text) => [
      ...[...text.matchAll(/`(aiot [^`]+)`/g)].map(([, line]) => line ?? ''),
      ...[...text.matchAll(/(?:^|: )(aiot [^`]+)$/g)].map(([, line]) => line ?? ''),
    ]);
    expect(lines.length).toBeGreaterThan(100);
    expect(spoken(lines)).toEqual([]);
  });

  it('exist in the cheat sheets', () => {
    const lines = Object.values(allCheatSheets).flatMap(({ lines }) => lines.map(([, command]) => command));
    expect(lines.flatMap((line) => wrongLines(line, 'typed'))).toEqual([]);
  });

  it('exist in the examples of the commands', () => {
    const examples = commands.flatMap(({ id, command }) =>
      (command.examples ?? []).map((example: string) => exampleText(example, id)),
    );
    expect(examples.flatMap((example) => wrongLines(example, 'typed'))).toEqual([]);
  });

  it('exist in the next steps that commands print', () => {
    const lines = sourcesIn(root, 'src')
      .map((file) => readFileSync(join(root, file), 'utf8'))
      .flatMap((text) => {
        const inside = [...text.matchAll(/\bnext\(([^;]*)\);/g)].map(([, between]) => between).join('\n');
        const lines = [...inside.matchAll(/['`](aiot [^'`]+)['`]/g)].map(([, line]) => line ?? '');
        // Arguments repeated from the current command line must also be valid for the next command.
        const [, names = ''] = /\bagain\(input, ([^)]*)\)/.exec(text) ?? [];
        const repeated = [...names.matchAll(/'([a-z-]+)'/g)].map(([, name]) => ` --${name} X`).join('');
        return lines.map((line) =>
          // Every other value is replaced with a word, or dropped if it is only the end of one.
          line.replace(/\$\{at\}/, repeated).replace(/(\s?)\$\{[^}]*\}?/g, (_, gap) => (gap ? ' X' : '')),
        );
      });
    expect(lines.length).toBeGreaterThan(10);
    expect(spoken(lines)).toEqual([]);
  });

  it('exist in all texts of the source code, such as the next steps of errors', () => {
    const lines = sourcesIn(root, 'src').flatMap((file) =>
      textsOf(file)
        .flatMap((text) => [...text.matchAll(/`(aiot [^`]+)`|: (aiot [^`:]+[^`:.])$/g)])
        .map(([, inside, last]) => ({ file, line: inside ?? last ?? '' })),
    );
    expect(lines.length).toBeGreaterThan(600);
    expect(lines.flatMap(({ file, line }) => spoken([line]).map((problem) => `${file}:${problem}`))).toEqual(
      [],
    );
  });

  it('exist on the pages of the dashboard', () => {
    const lines = readdirSync(join(root, 'web'), { recursive: true })
      .map(String)
      .filter((file) => /\.tsx?$/.test(file))
      .map((file) => readFileSync(join(root, 'web', file), 'utf8'))
      .flatMap((text) => [...text.matchAll(/["'`](aiot [a-z][^"'`]*)/g)].map(([, line]) => line ?? ''))
      .map((line) => line.replace(/(\s?)\$\{[^}]*\}?/g, (_, gap) => (gap ? ' X' : '')));
    expect(lines.length).toBeGreaterThan(20);
    expect(spoken(lines)).toEqual([]);
  });
});

describe('pointers to the documentation', () => {
  const texts = [...sourcesIn(root, 'src'), ...readmes()].map((file) => {
    const text = readFileSync(join(root, file), 'utf8');
    return { file, text: text.replaceAll(/^\s*(?:\/?\*|\/\/).*$/gm, '') };
  });

  it('are commands, because an installed package has no docs folder in sight', () => {
    const paths = texts.flatMap(({ file, text }) =>
      [...text.matchAll(/\bdocs\/(?:start|how-to|reference|background)\/[\w-]+\.md/g)].map(
        ([path]) => `${file}: ${path}`,
      ),
    );
    expect(paths).toEqual([]);
  });

  it('name pages and sections that exist', () => {
    const pages = documentList();
    const named = texts.flatMap(({ text }) => [...text.matchAll(/\baiot docs ([a-z][\w-]*(?:#[\w-]+)?)/g)]);
    expect(named.length).toBeGreaterThan(40);
    for (const [, name = ''] of named) expect(documentNamed(name, pages).text, name).not.toBe('');
  });
});

/** The strings of a source file. Values in a template are replaced with a word, or dropped if they are only the end of one. */
function textsOf(file: string): string[] {
  const source = readFileSync(join(root, file), 'utf8');
  if (!source.includes('`aiot ') && !source.includes(': aiot ')) return [];
  const texts: string[] = [];
  const visit = (node: ts.Node) => {
    if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) texts.push(node.text);
    if (ts.isTemplateExpression(node))
      texts.push(
        node.templateSpans.reduce(
          (text, { literal }) => `${text}${/[\s=]$/.test(text) ? 'X' : ''}${literal.text}`,
          node.head.text,
        ),
      );
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, source, ts.ScriptTarget.Latest));
  return texts;
}

/** Pages that `aiot init` copies into projects. */
function readmes(): string[] {
  return readdirSync(join(root, 'templates'), { recursive: true })
    .map((file) => `templates/${String(file)}`)
    .filter((file) => /\.(?:md|ya?ml)$/.test(file));
}
