import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { wrongWith } from '../support/documents/command-line.js';
import { blocksOf, pages, wrongIn } from '../support/documents/pages.js';
import { runnable, runPage } from '../support/documents/run.js';
import { shellCommands, shellLines } from '../support/documents/shell.js';

const long = process.env.AIOT_LONG !== undefined;

describe('a shell block', () => {
  it('is parsed as a shell parses it', () => {
    const block = [
      'A=1 aiot stream tail \'x y\' --where "a > \\"1\\""   # a comment',
      'aiot up --set A=1 \\',
      '  --set B=2 >log 2>&1 && cat a#b | wc -l &',
      '# a comment alone',
      "printf 'two",
      "lines'",
    ].join('\n');
    const lines = shellLines(block, 10);
    expect(lines.map(({ line, comment }) => [line, comment])).toEqual([
      [10, 'a comment'],
      [11, ''],
      [14, ''],
    ]);
    expect(lines.flatMap(shellCommands).map(({ words }) => words)).toEqual([
      ['aiot', 'stream', 'tail', 'x y', '--where', 'a > "1"'],
      ['aiot', 'up', '--set', 'A=1', '--set', 'B=2'],
      ['cat', 'a#b'],
      ['wc', '-l'],
      ['printf', 'two\nlines'],
    ]);
  });

  it('declares in a comment above it whether and how it is run', () => {
    const text = [
      '<!-- run: beside, long -->',
      '```sh',
      'aiot up',
      '```',
      '',
      '```sh',
      'aiot down',
      '```',
    ].join('\n');
    expect(blocksOf(text)).toEqual([
      { text: 'aiot up', line: 3, run: { beside: true, long: true } },
      { text: 'aiot down', line: 7, run: null },
    ]);
    for (const comment of ['<!-- run: -->', '<!-- run -->\n'])
      expect(() => blocksOf(`${comment}\n\`\`\`sh\naiot up\n\`\`\``)).toThrow('1 comments "run", of which 0');
    expect(() => blocksOf('<!-- run: sometimes -->\n```sh\naiot up\n```')).toThrow('sometimes');
  });
});

describe('a command line in the documentation', () => {
  it.each([
    ['frobnicate', 'no such command'],
    ['device frobnicate', 'no such command'],
    ['model', undefined],
    ['flash frobnicate --prot 1', 'no flag --prot'],
    ['up --detach --frobnicate', 'no flag --frobnicate'],
    ['up --project', 'no value for --project'],
    ['data export', 'no STREAM'],
    ['data export motion', 'no --out'],
    ['data export motion --out x.csv', undefined],
    ['data export motion -o x.csv --format xml', '--format is not xml, but'],
    ['data export motion other --out x.csv', 'too many words: other'],
    ['rollout start --plan rollout.json --waves 1', 'beside'],
    ['up --cert server.pem', '--cert without --key'],
    ['stream bridge … --status 9100', undefined],
    ['rollout show --help', undefined],
  ])('aiot %s: %s', (line, problem) => {
    const found = wrongWith(line.split(' '));
    if (problem === undefined) expect(found).toBeUndefined();
    else expect(found).toContain(problem);
  });

  it('may be incomplete in prose, but must not contain unknown words', () => {
    expect(wrongWith(['data', 'export'], 'spoken')).toBeUndefined();
    expect(wrongWith(['up', '--project'], 'spoken')).toBeUndefined();
    expect(wrongWith(['data', 'export', '--prot'], 'spoken')).toBe('no flag --prot');
    expect(wrongWith(['data', 'frobnicate'], 'spoken')).toBe('no such command');
    expect(wrongWith(['frobnicate', 'it'], 'spoken')).toBe('no such command');
  });
});

describe('commands in the documentation', () => {
  it.each(pages)('exist in %s', (page) => {
    expect(wrongIn(page)).toEqual([]);
  });
});

describe('a page with runnable commands', () => {
  it.each([
    ['exit code 2', 'aiot error AIOT_NO_SUCH_CODE', undefined],
    ['', 'aiot error AIOT_NO_SUCH_CODE', /^exit code \d+, not 0$/],
    ['', 'sleep 60', 'not done within 1 s'],
  ])('reports the line and the cause of a failure: %s, %s', async (comment, line, why) => {
    const folder = mkdtempSync(join(tmpdir(), 'aiot-page-'));
    try {
      const page = join(folder, 'page.md');
      writeFileSync(page, `<!-- run -->\n\`\`\`sh\ncd /\n${line}    # ${comment}\n\`\`\`\n`);
      const run = await runPage(relative(root, page), {
        long: false,
        timeoutMs: line === 'sleep 60' ? 1000 : 60_000,
      });
      if (why === undefined) expect(run).toBeUndefined();
      else
        expect(run).toMatchObject({
          at: expect.stringContaining(`page.md:4: ${line}`),
          why: expect.stringMatching(why),
        });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('commands marked to run', () => {
  const marked = pages.filter((page) => runnable(page, long).length > 0);

  it('include the quick start and the pages on pipelines, the first prediction and upgrades', () => {
    const all = pages.filter((page) => runnable(page, true).length > 0);
    const howTo = ['pipelines', 'first-prediction', 'upgrade'].map((name) => `docs/how-to/${name}.md`);
    expect(all).toEqual(expect.arrayContaining(['docs/start/quick-start.md', ...howTo]));
  });

  it.each(marked)(
    'work as documented in %s',
    async (page) => {
      expect(await runPage(page, { long, timeoutMs: 150_000 })).toBeUndefined();
    },
    180_000,
  );
});
