import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pushedText } from '../../src/lib/cli/render/versions.js';
import { tinyBundle } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
beforeAll(async () => {
  own = await upForTests();
}, 60_000);
afterAll(async () => {
  await own.stop();
});

it('the status counts models and their versions', async () => {
  const bundle = join(own.folder, 'counted.aiot');
  for (const seed of [1, 2, 3]) {
    await writeFile(bundle, tinyBundle('counted', seed));
    await runCli(['model', 'push', bundle, '--json']);
  }
  const { stdout } = await runCli(['status']);
  expect(stdout).toMatch(/^models +1, 3 versions$/m);
  expect(stdout).toMatch(/^started +\d{4}-\d\d-\d\d \d\d:\d\d UTC, /m);
  expect(stdout).toMatch(/^storage +SQLite, blobs in a folder$/m);
  expect((await runCli(['model', 'list'])).stdout).toMatch(
    /^model +versions +latest +stage +in production +metric +size +pushed \(UTC\)$/im,
  );
  expect((await runCli(['model', 'show', 'counted@1'])).stdout).toMatch(
    /^time \(UTC\) +change +details +user$/m,
  );
  expect((await runCli(['model', 'show', 'counted@1'])).stdout).toMatch(
    /^pushed +\d{4}-\d\d-\d\d \d\d:\d\d UTC$/m,
  );
  expect((await runCli(['status', '--json'])).json).toMatchObject({
    counts: { models: 1, modelVersions: 3 },
  });
});

it('the next step after a model leaves the devices open, because all would replace other models', async () => {
  const bundle = join(own.folder, 'next.aiot');
  await writeFile(bundle, tinyBundle('next', 1));
  const pushed = await runCli(['model', 'push', bundle]);
  expect(pushed.stdout).toContain('aiot model deploy next@1 --selector SELECTOR');
  expect((await runCli(['model', 'show', 'next@1'])).stdout).toContain('--selector SELECTOR');
});

it('a push of a project without limits reports that none are set', () => {
  const pushed = { name: 'fan', version: 1, digest: 'sha256:0', sequence: 1, bytes: 9, file: 'fan.aiot' };
  const result = { ...pushed, kind: 'model' as const, sameAs: null, memory: null };
  expect(pushedText(result, 'https://a', 'none')).toMatch(
    /Limits +none: model\.accept in aiot\.yaml sets none/,
  );
  expect(pushedText(result, 'https://a')).not.toContain('Limits');
});

it('a push states the sequence so that it cannot be read as a version', () => {
  const pushed = { name: 'fan', version: 1, digest: 'sha256:0', sequence: 2, bytes: 9, file: 'fan.aiot' };
  const text = pushedText({ ...pushed, kind: 'model', sameAs: null, memory: null }, 'https://a');
  expect(text.replaceAll(/\s+/g, ' ')).toContain(
    'Signed with your key, as number 2. Devices reject lower numbers.',
  );
});

describe('an unknown name', () => {
  it('is rejected with a suggestion of a similar device, user or model', async () => {
    await runCli(['device', 'claim', 'pump', '--json']);
    await runCli(['user', 'add', 'alice', '--role', 'viewer', '--json']);
    const bundle = join(own.folder, 'tiny.aiot');
    await writeFile(bundle, tinyBundle());
    await runCli(['model', 'push', bundle, '--json']);
    const cases: [string[], string][] = [
      [['device', 'show', 'pumpp'], 'no device is named pumpp. Did you mean pump?'],
      [['device', 'revoke', 'pupm'], 'no device is named pupm. Did you mean pump?'],
      [['user', 'disable', 'alcie'], 'no user is named alcie. Did you mean alice?'],
      [['model', 'show', 'tinny@1'], 'no model is named tinny. Did you mean tiny?'],
      [['model', 'show', 'tiny@7'], 'model tiny@7 does not exist; the newest is tiny@1'],
      [['device', 'show', 'fan'], 'no device is named fan'],
    ];
    for (const [argv, message] of cases) expect(await refusal(argv)).toMatchObject({ message });
    expect((await runCli(['device', 'list'])).stdout).toMatch(/ state +last seen +firmware /i);
  });

  it('is rejected with a suggestion of a similar token, by ID or by name', async () => {
    const { json } = await runCli(['token', 'create', 'laptop', '--role', 'viewer', '--json']);
    const { id } = json as { id: string };
    const meant = `. Did you mean ${id} (laptop)?`;
    const slip = `${id.slice(0, -1)}_`;
    for (const typed of [slip, 'laptop', 'laptpo'])
      for (const verb of [['revoke', '--yes'], ['rotate']])
        expect(await refusal(['token', ...verb, typed])).toMatchObject({
          code: 'AIOT_NOT_FOUND',
          message: `no token has the id ${typed}${meant}`,
        });
    expect(await refusal(['token', 'rotate', 'wall'])).toMatchObject({ message: 'no token has the id wall' });
  });

  it('is rejected with a suggestion of a similar context, template or state', async () => {
    await runCli(['context', 'add', 'laboratory', '--url', 'https://lab.example', '--no-check', '--json']);
    const cases: [string[], string][] = [
      [['context', 'use', 'labroatory'], 'no context is named labroatory. Did you mean laboratory?'],
      [
        ['device', 'list', '--context', 'laborator'],
        'no context is named laborator. Did you mean laboratory?',
      ],
      [
        ['init', join(own.folder, 'new'), '--template', 'moto-watch'],
        'expected a template (count-parts, face-camera, har-imu, iot-kit, keyword-spotting, motor-watch, person-or-part), got "moto-watch". Did you mean motor-watch?',
      ],
      [
        ['device', 'list', '--selector', 'state=actve'],
        'the selector, column 7: expected registered or provisioned or active or suspended or revoked, got "actve". Did you mean active?',
      ],
    ];
    for (const [argv, message] of cases) expect(await refusal(argv)).toMatchObject({ message });
  });
});
