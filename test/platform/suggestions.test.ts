import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

describe('a name that nothing has', () => {
  it('is answered with the one that was meant', async () => {
    await runCli(['device', 'claim', 'pump', '--json']);
    await runCli(['user', 'add', 'alice', '--role', 'viewer', '--json']);
    const bundle = join(own.folder, 'tiny.aiot');
    await writeFile(bundle, tinyBundle());
    await runCli(['model', 'push', bundle, '--json']);
    const cases: [string[], string][] = [
      [['device', 'show', 'pumpp'], 'no device is named pumpp; did you mean pump?'],
      [['device', 'revoke', 'pupm'], 'no device is named pupm; did you mean pump?'],
      [['user', 'disable', 'alcie'], 'no user is named alcie; did you mean alice?'],
      [['model', 'show', 'tinny@1'], 'no model is named tinny; did you mean tiny?'],
      [['model', 'show', 'tiny@7'], 'there is no model tiny@7; the newest is tiny@1'],
      [['device', 'show', 'fan'], 'no device is named fan'],
    ];
    for (const [argv, message] of cases) expect(await refusal(argv)).toMatchObject({ message });
  });
});
