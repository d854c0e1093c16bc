import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeFolder, readBytes, readJson, writeFileAtomic } from '../../src/lib/core/index.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-files-'));
  await mkdir(join(dir, 'folder'));
  await writeFile(join(dir, 'file'), '{"a":');
  await symlink('loop', join(dir, 'loop'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describe('making a folder', () => {
  it('makes those above it too, and returns the topmost it had to make', async () => {
    expect(await makeFolder(join(dir, 'a', 'b', 'c'))).toBe(join(dir, 'a'));
    expect(await makeFolder(join(dir, 'a', 'b', 'd'))).toBe(join(dir, 'a', 'b', 'd'));
    expect(await makeFolder(join(dir, 'a'))).toBeUndefined();
  });

  it.each([
    ['where a file is', 'file', 'EEXIST'],
    ['below a file', 'file/inner', 'ENOTDIR'],
  ])('%s: is refused', async (_, name, reason) => {
    await expect(makeFolder(join(dir, name))).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_WRITABLE',
      message: expect.stringContaining(reason),
    });
  });

  it.runIf(process.platform === 'linux')('where none can ever be, it does not try for ever', async () => {
    const code = 'AIOT_FILE_NOT_WRITABLE';
    await expect(makeFolder('/proc/aiot/inner')).rejects.toMatchObject({ code });
    await expect(writeFileAtomic('/proc/aiot/file', '')).rejects.toMatchObject({ code });
  });
});

describe('reading a file', () => {
  it.each([
    ['nothing there', 'missing', 'AIOT_FILE_NOT_FOUND', 'no such file'],
    ['a path through a file', 'file/inner', 'AIOT_FILE_NOT_FOUND', 'no such file'],
    ['a path longer than any', 'x'.repeat(5000), 'AIOT_FILE_NOT_FOUND', 'no such file'],
    ['a folder', 'folder', 'AIOT_FILE_NOT_READABLE', 'it is a folder'],
    ['a link to itself', 'loop', 'AIOT_FILE_NOT_READABLE', 'its links lead round in a circle'],
  ])('%s: says so', async (_, name, code, message) => {
    await expect(readBytes(join(dir, name))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  it.runIf(process.platform !== 'win32')('a device that never ends is not begun', async () => {
    await expect(readBytes('/dev/zero')).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_READABLE' });
  });

  it('tells where JSON breaks off', async () => {
    await expect(readJson(join(dir, 'file'))).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.stringContaining('file is not JSON'),
    });
  });
});
