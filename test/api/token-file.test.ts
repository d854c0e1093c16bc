import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { MadeToken } from '../../src/lib/api/contract/access.js';
import { savingToken } from '../../src/lib/api/token-file.js';
import { madeTokenText } from '../../src/lib/cli/render/platform.js';

const made: MadeToken = {
  ...{ id: 'tok_1', name: 'job', owner: 'operator', role: 'viewer', scopes: null, selector: null },
  ...{ created: 0, expires: 1_795_000_000_000, lastUsed: null, current: false, token: 'aiot_secret' },
} as never;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-token-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('a token is saved, and then not shown', async () => {
  const file = join(folder, 'saved');
  const saved = await savingToken(file, async () => made);
  expect(saved).toMatchObject({ id: 'tok_1', file });
  expect(saved.token).toBeUndefined();
  expect(await readFile(file, 'utf8')).toBe('aiot_secret\n');
});

it('a token that cannot be saved after it was made is shown with the reason', async () => {
  const place = await mkdtemp(join(folder, 'place-'));
  const saved = await savingToken(join(place, 'token'), async () => {
    await rm(place, { recursive: true });
    await writeFile(place, '');
    return made;
  });
  expect(saved).toMatchObject({ token: 'aiot_secret', unsaved: expect.stringContaining('token') });
  expect(saved.file).toBeUndefined();
  const text = madeTokenText(saved);
  expect(text).toMatch(/^The token was not saved: /);
  expect(text).toContain('\naiot_secret\n');
});
