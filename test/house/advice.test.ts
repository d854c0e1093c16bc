import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type CommandFile, exampleText, flagsOf, loadCommands } from '../../scripts/docs/commands.js';
import { sourcesIn } from '../../scripts/imports.js';
import { catalogue } from '../../src/lib/core/index.js';
import { root } from '../support/cli.js';

let commands: CommandFile[] = [];
let topics = new Set<string>();
beforeAll(async () => {
  commands = await loadCommands(root);
  topics = new Set(commands.map(({ id }) => id.split(' ')[0] ?? ''));
});

/** What is wrong with one line that someone is told to type, or undefined. */
function wrong(line: string): string | undefined {
  const words = line.replace(/^aiot /, '').split(/\s+/);
  const flags = [...line.matchAll(/(?:^|\s)--([a-z][a-z-]*)/g)].map(([, flag]) => flag ?? '');
  if (words[0]?.startsWith('-') || /^[A-Z]/.test(words[0] ?? '')) return undefined;
  const entry =
    commands.find(({ id }) => id === words.slice(0, 3).join(' ')) ??
    commands.find(({ id }) => id === words.slice(0, 2).join(' ')) ??
    commands.find(({ id }) => id === words[0]) ??
    commands.find(({ id }) => id === `${words[0]} list`);
  if (!entry || !topics.has(words[0] ?? '')) return `${line}: no such command`;
  const known = new Set(['help', ...flagsOf(entry.command).flatMap(([name]) => [name, `no-${name}`])]);
  const strange = flags.filter((flag) => !known.has(flag));
  return strange.length > 0 ? `${line}: no flag --${strange.join(', --')}` : undefined;
}

/** Every `aiot …` in a text that is code: in backticks, or a line of a shell block. */
function linesOf(text: string): string[] {
  const blocks = [...text.matchAll(/```(?:sh|bash)?\n([\s\S]*?)```/g)].flatMap(([, block]) =>
    (block ?? '').split('\n'),
  );
  const spans = [...text.matchAll(/`(aiot [^`\n]+)`/g)].map(([, code]) => code ?? '');
  return [...blocks, ...spans]
    .flatMap((line) => line.replace(/\s+#.*$/, '').split('&&'))
    .map((line) => line.trim())
    .filter((line) => line.startsWith('aiot ') && !/[|…]/.test(line));
}

const found = (lines: string[]) => lines.map(wrong).filter((problem) => problem !== undefined);

describe('what people are told to type exists', () => {
  it('in the error catalogue', () => {
    const lines = Object.values(catalogue).flatMap(({ next }) =>
      [...next.matchAll(/(?<!of )\baiot [a-z][^.;,:()]*/g)].map(([line]) => line.trim()),
    );
    expect(found(lines)).toEqual([]);
  });

  it('in the examples of the commands', () => {
    const lines = commands.flatMap(({ id, command }) =>
      (command.examples ?? []).flatMap((example: string) => exampleText(example, id).split('\n')),
    );
    expect(found(lines.filter((line: string) => line.startsWith('aiot ')))).toEqual([]);
  });

  it('in what commands name as the next step', () => {
    const lines = sourcesIn(root, 'src')
      .map((file) => readFileSync(join(root, file), 'utf8'))
      .flatMap((text) => {
        const inside = [...text.matchAll(/\bnext\(([^;]*)\);/g)].map(([, between]) => between).join('\n');
        const lines = [...inside.matchAll(/['`](aiot [^'`]+)['`]/g)].map(([, line]) => line ?? '');
        // What it repeats of its own command line must fit the next one too.
        const [, names = ''] = /\bagain\(input, ([^)]*)\)/.exec(text) ?? [];
        const repeated = [...names.matchAll(/'([a-z-]+)'/g)].map(([, name]) => ` --${name} X`).join('');
        return lines.map((line) => line.replace(/\$\{at\}/, repeated));
      });
    expect(lines.length).toBeGreaterThan(10);
    expect(found(lines)).toEqual([]);
  });

  const pages = [
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'ARCHITECTURE.md',
    ...markdown('docs'),
    ...markdown('templates'),
  ];
  it.each(pages)('in %s', (page) => {
    expect(found(linesOf(readFileSync(join(root, page), 'utf8')))).toEqual([]);
  });
});

function markdown(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true })
    .map((path) => join(folder, String(path)))
    .filter(
      (path) => path.endsWith('.md') && !path.includes('decisions') && !path.includes(join('docs', 'cli')),
    );
}
