import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { again, forProject } from '../../src/lib/cli/invocation.js';
import { shellWord } from '../../src/lib/core/text.js';
import { temporaryFolder } from '../model/support.js';
import { runCli } from '../support/cli.js';

describe('suggested next commands', () => {
  const flags = { project: 'my watch', data: 'takes', context: 'home' };

  it('repeat only the flags that were typed, in the requested order', () => {
    const given = (flag: string) => flag !== 'context';
    expect(again({ flags, given }, 'project', 'context', 'data')).toBe(' --project "my watch" --data takes');
  });

  it('repeat no flags that are defaults or come from the environment', () => {
    expect(again({ flags, given: () => false }, 'project', 'data')).toBe('');
  });

  it.each([
    ['my-watch', 'my-watch'],
    ['../a_b/c.d', '../a_b/c.d'],
    ['a b', '"a b"'],
    ['', '""'],
    ['~/x', '"~/x"'],
    ['a;b', '"a;b"'],
    ['$HOME', "'$HOME'"],
    ['wow!', "'wow!'"],
    ['a\\b', "'a\\b'"],
    ["it's $5", "'it'\\''s $5'"],
  ])('quote the word %s for a shell', (text, word) => {
    expect(shellWord(text)).toBe(word);
  });
});

describe('commands suggested by errors', () => {
  it.each([
    ['aiot model train', ['--project', 'watch'], 'aiot model train --project watch'],
    ['aiot model train', ['-p', 'my watch'], 'aiot model train --project "my watch"'],
    ['aiot model evaluate', ['--project=watch'], 'aiot model evaluate --project watch'],
    [
      'Run `aiot model quantize --mode int8`, then `aiot model evaluate`.',
      ['-p', 'w'],
      'Run `aiot model quantize --project w --mode int8`, then `aiot model evaluate --project w`.',
    ],
    [
      'Train from the start with `aiot model train`.',
      ['-p', 'w'],
      'Train from the start with `aiot model train --project w`.',
    ],
    ['aiot model train --project w', ['-p', 'w'], 'aiot model train --project w'],
    [
      'aiot model evaluate a.tflite --data rows.csv',
      ['-p', 'w'],
      'aiot model evaluate a.tflite --data rows.csv',
    ],
    ['aiot model train', ['--json'], 'aiot model train'],
    ['aiot model train', ['--project'], 'aiot model train'],
  ])('take the project from the flags: “%s” with %j', (proposed, argv, expected) => {
    expect(forProject(proposed, argv)).toBe(expected);
  });

  it('include the project of the command that failed', async () => {
    const dir = await temporaryFolder();
    await writeFile(join(dir, 'aiot.yaml'), 'name: pumps\n');
    const { json } = await runCli(['model', 'evaluate', '--project', dir, '--json']);
    expect(json).toMatchObject({
      error: { code: 'AIOT_MODEL_NOT_BUILT', next: `Create it with \`aiot model train --project ${dir}\`.` },
    });
  });
});
