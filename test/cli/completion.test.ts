import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { runCli } from '../support/cli.js';

let folder = '';
let script = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-completion-'));
  script = join(folder, 'aiot.bash');
  await writeFile(script, (await runCli(['completion', 'bash'])).stdout);
  await mkdir(join(folder, 'here', 'recordings'), { recursive: true });
  await writeFile(join(folder, 'here', 'rows of mine.csv'), '');
  const url = 'https://127.0.0.1:8443';
  await writeContexts(
    { current: 'lab', contexts: { lab: { url }, factory: { url } } },
    join(folder, 'config'),
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What bash offers where the last word is; `=` is a word of its own, as bash has it. */
function offered(...words: string[]): string[] {
  const { stdout, stderr } = spawnSync(
    'bash',
    [
      '--norc',
      '-c',
      'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _aiot; printf "%s\\n" "${COMPREPLY[@]}"',
      script,
      ...words,
    ],
    {
      encoding: 'utf8',
      cwd: join(folder, 'here'),
      env: { PATH: process.env.PATH, HOME: folder, AIOT_CONFIG_DIR: join(folder, 'config') },
    },
  );
  expect(stderr).toBe('');
  return stdout.split('\n').filter((line) => line !== '');
}

describe('aiot completion', () => {
  it.each([
    [['aiot', 'dev'], ['device']],
    [['aiot', 'device', 'li'], ['list']],
    [
      ['aiot', 'firmware', 'nvs', ''],
      ['create', 'read'],
    ],
    [['aiot', '--json', 'device', 'li'], ['list']],
    [['aiot', 'device', 'list', '--sel'], ['--selector']],
    [['aiot', 'device', '--sel'], ['--selector']],
    [['aiot', 'docs', 'quick'], ['quick-start']],
    [
      ['aiot', 'docs', 'tutorials/mot'],
      ['tutorials/motion-on-a-pi', 'tutorials/motor'],
    ],
    [['aiot', 'explain', 'AIOT_DEVICE_EX'], ['AIOT_DEVICE_EXISTS']],
    [
      ['aiot', 'init', 'here', '--template', ''],
      ['face-camera', 'har-imu', 'iot-kit', 'motor-watch'],
    ],
    [
      ['aiot', 'model', 'train', '--kind', ''],
      ['mlp', 'cnn1d', 'ds-cnn', 'autoencoder'],
    ],
    [['aiot', 'model', 'train', '--kind', '=', 'c'], ['cnn1d']],
    [
      ['aiot', 'model', 'train', '--kind', '='],
      ['mlp', 'cnn1d', 'ds-cnn', 'autoencoder'],
    ],
    [['aiot', 'model', 'train', '--epochs', ''], []],
    [['aiot', 'cheat', 'k'], ['kafka']],
    [
      ['aiot', 'completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [
      ['aiot', 'context', 'use', ''],
      ['lab', 'factory'],
    ],
    [['aiot', 'device', 'list', '--context', 'f'], ['factory']],
    [['aiot', 'device', 'list', '-c', 'l'], ['lab']],
    [['aiot', 'model', 'train', '--project', ''], ['recordings']],
    [['aiot', 'model', 'train', '--report', 'ro'], ['rows of mine.csv']],
    [['aiot', 'flash', 'ro'], ['rows of mine.csv']],
    [['aiot', 'stream', 'route', 'test', 'ro'], ['rows of mine.csv']],
    [['aiot', 'nonsense', 'x'], []],
  ])('%j → %j', (words, expected) => {
    expect(offered(...words).sort()).toEqual([...expected].sort());
  });

  it('offers the flags of a command that has nothing else, those of every command among them', () => {
    expect(offered('aiot', 'device', 'list', '')).toEqual(
      expect.arrayContaining(['--selector', '--json', '--quiet', '--help']),
    );
  });

  it('knows every command, in each of the shells', async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { json } = await runCli(['completion', shell, '--json']);
      expect(json).toMatchObject({ shell });
      const { script: text } = json as { script: string };
      for (const id of ['ota rehearse', 'stream route import', 'completion'])
        expect(text).toContain(`'${id}'`);
    }
  });

  it('refuses a shell that it does not know', async () => {
    expect(await runCli(['completion', 'tcsh', '--json'])).toMatchObject({
      code: 2,
      json: { error: { code: 'AIOT_USAGE' } },
    });
  });
});
