import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { addContext, listContexts } from '../../src/lib/core/contexts.js';
import { takeLock, withLock } from '../../src/lib/core/lock.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-lock-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it('a lock is had by one at a time, and waited for', async () => {
  const path = join(folder, 'deep', 'lock');
  const release = await takeLock(path);
  expect(await takeLock(path)).toBeNull();
  await expect(withLock(path, 50, async () => 1)).rejects.toMatchObject({ code: 'AIOT_TIMEOUT' });
  const waiting = withLock(path, 5000, async () => 2);
  release?.();
  expect(await waiting).toBe(2);
});

it.skipIf(process.platform === 'win32')('a lock’s file is its owner’s alone', async () => {
  const path = join(folder, 'deep', 'lock');
  await takeLock(path);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

it('a lock is given back when its task fails', async () => {
  const path = join(folder, 'lock');
  const failing = withLock(path, 0, async () => Promise.reject(new Error('no')));
  await expect(failing).rejects.toThrow('no');
  expect(await takeLock(path)).not.toBeNull();
});

it('a lock that cannot be is an error with the path', async () => {
  await expect(takeLock(folder)).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_WRITABLE', endpoint: folder });
});

it('contexts that are added at once are all there', async () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const url = 'https://localhost:8443';
  await Promise.all(names.map((name) => addContext(name, { url, token: name }, { folder })));
  expect((await listContexts(folder)).map(({ name }) => name)).toEqual(names);
});
