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

it('a lock is granted to one holder at a time, and others wait', async () => {
  const path = join(folder, 'deep', 'lock');
  const release = await takeLock(path);
  expect(await takeLock(path)).toBeNull();
  await expect(withLock(path, 50, async () => 1)).rejects.toMatchObject({ code: 'AIOT_TIMEOUT' });
  const waiting = withLock(path, 5000, async () => 2);
  release?.();
  expect(await waiting).toBe(2);
});

it.skipIf(process.platform === 'win32')('a lock file is private to its owner', async () => {
  const path = join(folder, 'deep', 'lock');
  await takeLock(path);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

it('a lock is released if its task fails', async () => {
  const path = join(folder, 'lock');
  const failing = withLock(path, 0, async () => Promise.reject(new Error('no')));
  await expect(failing).rejects.toThrow('no');
  expect(await takeLock(path)).not.toBeNull();
});

it('a lock that cannot be created is reported with its path', async () => {
  await expect(takeLock(folder)).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_WRITABLE', endpoint: folder });
});

it('contexts that are added at the same time are all kept', async () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const url = 'https://localhost:8443';
  await Promise.all(names.map((name) => addContext(name, { url, token: name }, { folder })));
  expect((await listContexts(folder)).map(({ name }) => name)).toEqual(names);
});
