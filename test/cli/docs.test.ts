import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  documentList,
  documentNamed,
  documentText,
  documentTexts,
  findInDocuments,
  placeOf,
} from '../../src/lib/cli/documents.js';
import { packageRoot } from '../../src/lib/core/folders.js';
import { runCli } from '../support/cli.js';

interface Section {
  page: string;
  heading: string;
  line: number;
  text: string;
}

describe('aiot docs', () => {
  it('lists every page with a description', async () => {
    const { json, stdout, code } = await runCli(['docs']);
    expect([code, json]).toEqual([0, undefined]);
    const pages = documentList();
    expect(pages.length).toBeGreaterThan(30);
    for (const { page, title, about } of pages) {
      expect(stdout).toContain(page);
      expect(title, page).not.toMatch(/^$|\.md$/);
      expect(about, page).not.toBe('');
    }
  });

  it('reads the packed pages where there is no docs folder, as in an installed package', async () => {
    const root = await mkdtemp(join(tmpdir(), 'aiot-docs-'));
    const pages = documentList();
    await mkdir(join(root, 'dist'));
    const packed = gzipSync(JSON.stringify(documentTexts(join(packageRoot(), 'docs'))));
    await writeFile(join(root, 'dist', 'docs.json.gz'), packed);
    expect(documentList(root)).toEqual(pages);
    await rm(root, { recursive: true });
  });

  it('shows a page, or with #words the section with these words in its heading', async () => {
    const { stdout } = await runCli(['docs', 'quick-start', '--no-color']);
    expect(stdout.startsWith('Quick start\n')).toBe(true);
    expect(stdout).toContain('  aiot demo\n');
    expect(stdout).not.toMatch(/```|<!--|\]\(/);
    expect(stdout).toMatch(/where aiot keeps files\s\(install#where-aiot-keeps-files\)/);
    expect((await runCli(['docs', 'motion on a pi', '--json'])).json).toMatchObject({
      page: 'motion-on-a-pi',
    });
    const section = (await runCli(['docs', 'project#rows', '--json'])).json as Section;
    expect(section).toMatchObject({ page: 'project', heading: 'Rows of a table' });
    expect(section.text.split('\n').filter((line) => line.startsWith('## '))).toEqual(['## Rows of a table']);
    expect((await runCli(['docs', 'motor.md', '--json'])).json).toMatchObject({ page: 'motor' });
  });

  it.each([
    ['how do I update the firmware of half of my boards tonight', 'rollouts'],
    ['email if a motor is hot', 'alarms'],
    ['schedule a rollout for the night', 'rollouts'],
  ])('finds the page that answers: %s', (words, page) => {
    expect(
      findInDocuments(words)
        .slice(0, 3)
        .map((hit) => hit.page),
    ).toContain(page);
  });

  it('searches all pages and ranks headings first', async () => {
    const found = (await runCli(['docs', '--find', 'mutual tls', '--json'])).json as Section[];
    expect(found.length).toBeGreaterThan(1);
    for (const { heading, text } of found)
      expect(`${heading} ${text}`.toLowerCase()).toMatch(/(?=.*mutual).*tls/s);
    const [first] = findInDocuments('rows of a table');
    expect(first).toMatchObject({ page: 'project', heading: 'Rows of a table' });
    expect(findInDocuments('leave one out')[0]?.text).toMatch(/leave[ -]one[ -]out/i);
    for (const words of ['mutual tls', 'telegram', 'update', 'label']) {
      const best = findInDocuments(words)[0]!;
      expect(['errors', 'benchmarks', 'dependencies']).not.toContain(best.page);
      expect(documentNamed(placeOf(best)).heading, 'leads there').toBe(best.heading);
    }
    expect((await runCli(['docs', '--find', 'xyzzy plugh', '--json'])).json).toEqual([]);
  });

  it.each(['own csv recordings', 'csv', 'my data'])(
    'finds the page about the user’s own files: %s',
    (words) => {
      expect(findInDocuments(words)[0]).toMatchObject({
        page: 'own-csv-data',
        heading: 'Use your own data: CSV recordings',
      });
    },
  );

  it.each([
    ['a command', ['init'], 'aiot init', '`--from`'],
    ['a command of several words', ['data', 'import'], 'aiot data import', '`--project`'],
    ['a command with colons', ['data:import'], 'aiot data import', '`--project`'],
    ['a group of commands', ['data'], 'aiot data', '`aiot data check`'],
  ])('shows the reference of %s', async (_, words, heading, part) => {
    const { json } = await runCli(['docs', ...words, '--json']);
    expect(json).toMatchObject({ heading, text: expect.stringContaining(part) });
    const { stdout } = await runCli(['docs', ...words, '--no-color']);
    expect(stdout).toMatch(new RegExp(`^${heading}\n`));
    expect(stdout).not.toContain('<%=');
  });

  it('shows the page rather than the command of the same name', async () => {
    expect((await runCli(['docs', 'fit', '--json'])).json).toMatchObject({ page: 'fit', line: 1 });
  });

  it.each(['search', 'find'])('%s is another form of --find', async (verb) => {
    const { json } = await runCli(['docs', verb, 'mutual', 'tls', '--json']);
    expect(json).toEqual((await runCli(['docs', '--find', 'mutual tls', '--json'])).json);
  });

  it('names the closest page if there is none of that name', async () => {
    const { json } = await runCli(['docs', 'parquet', '--json']);
    const { error } = json as { error: { next: string } };
    const [, closest = ''] = /The closest page is `aiot docs (\S+)`/.exec(error.next) ?? [];
    expect(documentNamed(closest).text.toLowerCase()).toContain('parquet');
    expect(error.next).toContain('`aiot docs --find parquet`');
  });

  it.each([
    ['an unknown page', ['quick-strat'], 'AIOT_NOT_FOUND', 'aiot docs quick-start'],
    ['an unknown section', ['install#xyzzy'], 'AIOT_NOT_FOUND', 'Its sections: '],
    ['a page combined with --find', ['install', '--find', 'x'], 'AIOT_USAGE', ''],
    ['a path outside the docs folder', ['../package'], 'AIOT_NOT_FOUND', 'aiot docs'],
  ])('rejects %s', async (_, argv, code, next) => {
    const { json } = await runCli(['docs', ...argv, '--json']);
    expect(json).toMatchObject({ error: { code, next: expect.stringContaining(next) } });
  });
});

describe('Markdown on a terminal', () => {
  it('is wrapped to the given width, except for code', () => {
    for (const { page, text } of documentList()) {
      const code = new Set(text.split('\n').map((line) => line.trim()));
      const long = documentText(text, 80)
        .split('\n')
        .map(stripVTControlCharacters)
        // A word that is longer than the line stays whole.
        .filter((line) => line.length > 80 && !code.has(line.trim()) && / \S/.test(line.trim()));
      expect(
        long.filter((line) =>
          line
            .trim()
            .split(' ')
            .every((word) => word.length < 60),
        ),
        page,
      ).toEqual([]);
    }
  });

  it.each([
    ['# A `b` **c**', 'A b c'],
    ['a [b](c.md) *f*', 'a b (c) f'],
    ['[c](c.md)', 'c'],
    ['[d](#e)', 'd (#e)'],
    ['[x](https://a.b)', 'x\n(https://a.b)'],
    ['![d](e.png)', ''],
    ['- one\n  more\n- two', '- one more\n- two'],
    ['1. one\n2. two', '1. one\n2. two'],
    ['```sh\n# no heading\n```', '  # no heading'],
    ['| a | b |\n| --- | --- |\n| 1 | `x\\|y` |', 'a  b\n1  x|y'],
    ['one two three four', 'one two\nthree four'],
    [
      '| name | text |\n| --- | --- |\n| n | one two three four |',
      'n\n    one\n    two\n    three\n    four',
    ],
    ['> said\n> so', '> said so'],
    ['<!-- run -->\na', 'a'],
  ])('is rendered from %j', (markdown, text) => {
    expect(documentText(markdown, 10)).toBe(text);
  });
});
