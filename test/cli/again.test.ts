import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Parser } from '@oclif/core';
import { describe, expect, it } from 'vitest';
import { upFlags, upOptionsOf } from '../../src/lib/cli/flags/platform.js';
import { again, forProject } from '../../src/lib/cli/invocation.js';
import { afterDown, platformNext, secretText } from '../../src/lib/cli/render/platform.js';
import { shellWord } from '../../src/lib/core/text.js';
import { restartOf } from '../../src/lib/platform/up/options.js';
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

describe('the command that starts a platform again', () => {
  const mosquitto = { http: 'https://127.0.0.1:9443', mqtts: 'mqtt://mqtt.lan:1883' };
  /** The options that `aiot down` and a start without a context suggest for `aiot up` with these words. */
  async function suggested(...typed: string[]) {
    const { flags } = await Parser.parse(typed, { flags: upFlags });
    const restart = restartOf(upOptionsOf(flags as Parameters<typeof upOptionsOf>[0]));
    const stopped = { pid: 1, data: 'd', urls: mosquitto, restart, context: null, otherContext: null };
    return { restart, down: afterDown(stopped, ' --data d'), next: platformNext(' --data d', '', restart) };
  }

  it('needs no options after a start with default values', async () => {
    const { restart } = await suggested();
    expect(restart).toEqual({ words: [], secret: [] });
    expect(secretText(restart, {})).toBe('');
  });

  it('repeats the engines and all other options, quoted for a shell', async () => {
    const { down, next } = await suggested(
      ...['--broker', 'nats://mqtt.lan:4222?mqtt=1883', '--ingest', 'jetstream', '--host', '0.0.0.0'],
      ...['--plain', '--compat', 'architects-guide', '--ddi-poll', '90s', '--compat-quota', '2GiB'],
      ...['--public', 'hub.lan,10.0.0.2', '--context', 'plant', '--http-port', '9443', '--mqtt-port', '0'],
      ...['--no-token', '--project', '/srv/pump', '--board-port', '0'],
    );
    const options = `--host 0.0.0.0 --plain`;
    const more = `--compat architects-guide --context plant --project /srv/pump --board-port 0`;
    const last = `--public hub.lan,10.0.0.2 --compat-quota 2147483648 --ddi-poll 90s`;
    const broker = `--broker "nats://mqtt.lan:4222?mqtt=1883" --ingest jetstream`;
    expect(down).toEqual([
      `aiot up --data d --http-port 9443 ${options} --no-token ${more} ${last} ${broker}`,
    ]);
    expect(next).toBe(
      `aiot down --data d && aiot up --data d ${options} --no-token ${more} ${last} ${broker} --new-token`,
    );
    const again = await suggested(...[options, more, last, broker].join(' ').replaceAll('"', '').split(' '));
    expect(again.next).toBe(next.replace(' --no-token', ''));
  });

  it('shows no secrets, but names the options to add unless the environment sets them', async () => {
    const { restart, down } = await suggested(
      ...['--broker', 'mqtts://hub:geheim@mqtt.lan', '--database', 'postgres://db/aiot'],
      ...[
        '--blobs',
        's3://b?endpoint=https://s3.lan&secretKey=geheim',
        '--project',
        '.',
        '--set',
        'A=geheim',
      ],
    );
    expect(down).toEqual([
      `aiot up --data d --http-port 9443 --project ${process.cwd()} --database postgres://db/aiot`,
    ]);
    expect(restart.secret).toEqual(['--blobs', '--broker', '--set']);
    expect(secretText(restart, {})).toBe(
      '\n--blobs and --broker and --set are not shown, because they may contain secrets. Add them to aiot up.',
    );
    expect(secretText(restart, { AIOT_BROKER: 'x', AIOT_SET: 'x' })).toBe(
      '\n--blobs is not shown, because it may contain secrets. Add it to aiot up.',
    );
  });

  it('repeats the ports of a platform that an earlier version started', () => {
    const urls = { http: 'https://127.0.0.1:8443', mqtts: 'mqtts://127.0.0.1:9883' };
    const stopped = { pid: 1, data: 'd', urls, restart: null, context: 'a', otherContext: 'b' };
    expect(afterDown(stopped, '')).toEqual(['aiot up --mqtt-port 9883', 'aiot context use b']);
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
