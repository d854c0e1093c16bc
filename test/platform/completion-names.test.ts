import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { namesFolder } from '../../src/lib/cli/completion/names.js';
import { runCli } from '../support/cli.js';
import { type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
beforeAll(async () => {
  own = await upForTests();
  for (const name of ['d1', 'd2'])
    await runCli(['device', 'provision', name, '--type', 'virtual', '--out', join(own.folder, name)]);
});
afterAll(() => own.stop());

describe('aiot completion --refresh', () => {
  it('caches the current platform’s names for the shells, readable only by the user', async () => {
    const { json, code } = await runCli(['completion', 'bash', '--refresh', '--json']);
    expect(code).toBe(0);
    expect(json).toMatchObject({
      shell: 'bash',
      names: { devices: 2, models: 0, users: expect.any(Number) },
    });
    const [{ current = '' }] = [
      JSON.parse(await readFile(join(process.env.AIOT_CONFIG_DIR!, 'contexts.json'), 'utf8')),
    ];
    const file = join(namesFolder(current), 'devices');
    expect(await readFile(file, 'utf8')).toBe('d1\nd2\n');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('fails if the context does not exist', async () => {
    expect((await runCli(['completion', 'zsh', '--refresh', '--context', 'nowhere', '--json'])).code).toBe(4);
  });
});
