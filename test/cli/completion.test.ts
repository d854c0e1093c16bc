import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
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

/** Bash's suggestions for the last word. As in bash itself, `=` is a separate word. */
function offered(...words: string[]): string[] {
  return offeredWith({}, ...words);
}

function offeredWith(env: Record<string, string>, ...words: string[]): string[] {
  const { stdout, stderr } = spawnSync(
    'bash',
    [
      '--norc',
      '-c',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: bash's, not JavaScript's
      'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _aiot; printf "%s\\n" "${COMPREPLY[@]}"',
      script,
      ...words,
    ],
    {
      encoding: 'utf8',
      timeout: 60_000,
      cwd: join(folder, 'here'),
      env: { PATH: process.env.PATH, HOME: folder, AIOT_CONFIG_DIR: join(folder, 'config'), ...env },
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
    [['aiot', 'ota', 'rep'], ['report']],
    [
      ['aiot', 'stream', 'pu'],
      ['pub', 'publish'],
    ],
    [['aiot', 'docs', 'quick'], ['quick-start']],
    [['aiot', 'docs', 'motion-on'], ['motion-on-a-pi']],
    [['aiot', 'error', 'AIOT_ALREADY'], ['AIOT_ALREADY_EXISTS']],
    [
      ['aiot', 'init', 'here', '--template', ''],
      [
        'count-parts',
        'face-camera',
        'har-imu',
        'iot-kit',
        'keyword-spotting',
        'motor-watch',
        'person-or-part',
      ],
    ],
    [
      ['aiot', 'model', 'train', '--kind', ''],
      ['mlp', 'cnn1d', 'ds-cnn', 'mobilenet', 'fomo', 'autoencoder', 'forest'],
    ],
    [['aiot', 'model', 'train', '--kind', '=', 'c'], ['cnn1d']],
    [
      ['aiot', 'model', 'train', '--kind', '='],
      ['mlp', 'cnn1d', 'ds-cnn', 'mobilenet', 'fomo', 'autoencoder', 'forest'],
    ],
    [['aiot', 'model', 'train', '--epochs', ''], []],
    [['aiot', 'examples', 'k'], ['kafka']],
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
    [['aiot', 'flash', '--port', 'ro'], ['rows of mine.csv']],
    [['aiot', 'up', '--plain-port', ''], []],
    [['aiot', 'board', 'share', '--listen', ''], []],
    [['aiot', 'stream', 'route', 'test', 'ro'], ['rows of mine.csv']],
    [['aiot', 'nonsense', 'x'], []],
  ])('completes %j with %j', (words, expected) => {
    expect(offered(...words).sort()).toEqual([...expected].sort());
  });

  it('offers the flags of a command without arguments, including the common ones', () => {
    expect(offered('aiot', 'device', 'list', '')).toEqual(
      expect.arrayContaining(['--selector', '--json', '--quiet', '--help']),
    );
  });

  it('completes a former topic like the new one', () => {
    const rollout = offered('aiot', 'rollout', '');
    expect(rollout).toContain('start');
    expect(offered('aiot', 'ota', '').sort()).toEqual([...rollout, 'status'].sort());
    expect(offered('aiot', 'ota', 'start', '--')).toEqual(offered('aiot', 'rollout', 'start', '--'));
  });

  it('prints a script with the commands for each shell', async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { json } = await runCli(['completion', shell, '--json']);
      expect(json).toMatchObject({ shell });
      const { script: text } = json as { script: string };
      for (const id of ['rollout rehearse', 'ota', 'ota rehearse', 'stream route import', 'completion'])
        expect(text).toContain(`'${id}'`);
    }
  });

  it('offers cached names of the current or specified context', async () => {
    const cache = join(folder, 'cache');
    for (const [context, names] of [
      ['lab', 'motor-1\nmotor-2\nfan-1\n'],
      ['factory', 'press-1\n'],
    ] as const) {
      await mkdir(join(cache, 'completion', context), { recursive: true });
      await writeFile(join(cache, 'completion', context, 'devices'), names);
    }
    const names = (...words: string[]) => offeredWith({ AIOT_CACHE_DIR: cache }, ...words);
    expect(names('aiot', 'device', 'show', 'mo')).toEqual(['motor-1', 'motor-2']);
    expect(names('aiot', 'model', 'deploy', 'har', '--selector', 'f')).toEqual(['fan-1']);
    expect(names('aiot', 'device', 'show', '--context', 'factory', '')).toEqual(['press-1']);
    expect(
      offeredWith({ AIOT_CACHE_DIR: cache, AIOT_CONTEXT: 'factory' }, 'aiot', 'device', 'show', ''),
    ).toEqual(['press-1']);
    await writeFile(join(cache, 'completion', 'lab', 'streams'), 'motors\nmotion\n');
    for (const command of [
      ['data', 'import'],
      ['alarm', 'create'],
      ['device', 'simulate'],
    ])
      expect(names('aiot', ...command, '--stream', 'mot')).toEqual(['motors', 'motion']);
    // A JetStream stream is not one of the platform's.
    expect(names('aiot', 'stream', 'bench', '--stream', '')).toEqual([]);
    expect(names('aiot', 'device', 'provision', 'mo')).toEqual([]);
    expect(names('aiot', 'rollout', 'show', '')).toEqual([]);
  });

  it('refreshes names in the background, at most once a minute, without blocking', async () => {
    const [cache, bin] = [join(folder, 'slow-cache'), join(folder, 'bin')];
    await mkdir(bin, { recursive: true });
    const [asked, slow] = [join(folder, 'asked'), join(folder, 'slow')];
    await writeFile(slow, '');
    const waits = `for i in $(seq 900); do [ -e "${slow}" ] && sleep 0.1; done`;
    await writeFile(join(bin, 'aiot'), `#!/bin/sh\necho "$@" >>"${asked}"\n${waits}\n`);
    await chmod(join(bin, 'aiot'), 0o755);
    const env = { AIOT_CACHE_DIR: cache, PATH: `${bin}:${process.env.PATH}` };
    // If it waited for the program, which ends with the file or after 90 s, these two calls would be ended after a minute.
    expect(offeredWith(env, 'aiot', 'device', 'show', '')).toEqual([]);
    expect(offeredWith(env, 'aiot', 'device', 'show', '')).toEqual([]);
    await vi.waitFor(
      async () => expect(await readFile(asked, 'utf8')).toBe('completion bash --refresh --context lab\n'),
      20_000,
    );
    await rm(slow);
  });

  it('takes less than 150 ms with two thousand names', async () => {
    const cache = join(folder, 'large-cache');
    await mkdir(join(cache, 'completion', 'lab'), { recursive: true });
    const many = Array.from({ length: 2000 }, (_, i) => `device-${i}\n`).join('');
    await writeFile(join(cache, 'completion', 'lab', 'devices'), many);
    const run = (call: string) => {
      const text = `source "$0"; COMP_WORDS=(aiot device show device-19); COMP_CWORD=3; ${call}`;
      const env = {
        PATH: process.env.PATH,
        HOME: folder,
        AIOT_CONFIG_DIR: join(folder, 'config'),
        AIOT_CACHE_DIR: cache,
      };
      const began = performance.now();
      expect(spawnSync('bash', ['--norc', '-c', text, script], { env }).status).toBe(0);
      return performance.now() - began;
    };
    // The difference between the two is the time that the shell needs for a Tab. The fastest of several runs is used, because other
    // tests run at the same time.
    const quickest = (call: string) => Math.min(...Array.from({ length: 7 }, () => run(call)));
    expect(quickest('_aiot') - quickest(':')).toBeLessThan(150);
  });

  it('rejects an unknown shell', async () => {
    expect(await runCli(['completion', 'tcsh', '--json'])).toMatchObject({
      code: 2,
      json: { error: { code: 'AIOT_USAGE' } },
    });
  });
});
