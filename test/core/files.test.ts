import { execFileSync, spawn } from 'node:child_process';
import { lstat, mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  makeFolder,
  readBytes,
  readJson,
  refuseInputs,
  writeFileAtomic,
  writeTogether,
} from '../../src/lib/core/files.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-files-'));
  await mkdir(join(dir, 'folder'));
  await writeFile(join(dir, 'file'), '{"a":');
  await symlink('loop', join(dir, 'loop'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describe('creating a folder', () => {
  it('creates missing parents, and returns the topmost folder that it created', async () => {
    expect(await makeFolder(join(dir, 'a', 'b', 'c'))).toBe(join(dir, 'a'));
    expect(await makeFolder(join(dir, 'a', 'b', 'd'))).toBe(join(dir, 'a', 'b', 'd'));
    expect(await makeFolder(join(dir, 'a'))).toBeUndefined();
  });

  it.each([
    ['in place of a file', 'file', 'EEXIST'],
    ['below a file', 'file/inner', 'ENOTDIR'],
  ])('is rejected %s', async (_, name, reason) => {
    await expect(makeFolder(join(dir, name))).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_WRITABLE',
      message: expect.stringContaining(reason),
    });
  });

  it.runIf(process.platform === 'linux')(
    'fails instead of retrying forever if no folder can be created',
    async () => {
      const code = 'AIOT_FILE_NOT_WRITABLE';
      await expect(makeFolder('/proc/aiot/inner')).rejects.toMatchObject({ code });
      await expect(writeFileAtomic('/proc/aiot/file', '')).rejects.toMatchObject({ code });
    },
  );
});

describe('reading a file', () => {
  it.each([
    ['a missing file', 'missing', 'AIOT_FILE_NOT_FOUND', 'does not exist'],
    ['a path through a file', 'file/inner', 'AIOT_FILE_NOT_FOUND', 'does not exist'],
    ['an overlong path', 'x'.repeat(5000), 'AIOT_FILE_NOT_FOUND', 'does not exist'],
    ['a folder', 'folder', 'AIOT_FILE_NOT_READABLE', 'it is a folder'],
    ['a link to itself', 'loop', 'AIOT_FILE_NOT_READABLE', 'its symbolic links form a loop'],
  ])('reports %s', async (_, name, code, message) => {
    await expect(readBytes(join(dir, name))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  it('reports a file of more than 2 GiB as too large', async () => {
    const large = join(dir, 'large');
    await writeFile(large, '');
    await truncate(large, 3 * 1024 ** 3);
    await expect(readBytes(large)).rejects.toMatchObject({
      code: 'AIOT_FILE_NOT_READABLE',
      message: expect.stringContaining('it has more than 2 GiB'),
    });
  });

  it.runIf(process.platform !== 'win32')('rejects an endless device', async () => {
    await expect(readBytes('/dev/zero')).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_READABLE' });
  });

  describe.runIf(process.platform !== 'win32')('that is a pipe', () => {
    it('returns all of its content', async () => {
      const pipe = join(dir, 'written');
      execFileSync('mkfifo', [pipe]);
      const writer = spawn('sh', [
        '-c',
        '{ echo one,two; sleep 0.2; head -c 70000 /dev/zero; } > "$0"',
        pipe,
      ]);
      const ended = new Promise((resolve) => writer.once('exit', resolve));
      const bytes = await readBytes(pipe);
      await ended;
      expect(bytes.subarray(0, 8).toString()).toBe('one,two\n');
      expect(bytes).toHaveLength(8 + 70_000);
    });

    it('is rejected immediately for a pipe without a writer', async () => {
      const pipe = join(dir, 'silent');
      execFileSync('mkfifo', [pipe]);
      await expect(readBytes(pipe)).rejects.toMatchObject({
        code: 'AIOT_FILE_NOT_READABLE',
        message: expect.stringContaining('a pipe without a writer'),
      });
    });
  });

  it('reports malformed JSON with the file name', async () => {
    await expect(readJson(join(dir, 'file'))).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      message: expect.stringContaining('file is not valid JSON'),
    });
  });
});

describe('writing a file', () => {
  it('writes to the target of a link, existing or not, and keeps the link', async () => {
    await writeFile(join(dir, 'old'), 'old');
    await symlink('old', join(dir, 'to-old'));
    await symlink('new', join(dir, 'to-new'));
    for (const [link, target] of [
      ['to-old', 'old'],
      ['to-new', 'new'],
    ] as const) {
      await writeFileAtomic(join(dir, link), 'now');
      expect((await lstat(join(dir, link))).isSymbolicLink()).toBe(true);
      expect(await readFile(join(dir, target), 'utf8')).toBe('now');
    }
    await writeTogether(
      new Map([
        [join(dir, 'to-old'), 'a'],
        [join(dir, 'third'), 'b'],
      ]),
    );
    expect((await lstat(join(dir, 'to-old'))).isSymbolicLink()).toBe(true);
    expect(await readFile(join(dir, 'old'), 'utf8')).toBe('a');
  });

  it.runIf(process.platform !== 'win32')('replaces only regular files', async () => {
    const pipe = join(dir, 'pipe');
    execFileSync('mkfifo', [pipe]);
    await symlink('pipe', join(dir, 'to-pipe'));
    const cases = [
      [pipe, 'it is a device or a pipe'],
      [join(dir, 'to-pipe'), 'it is a device or a pipe'],
      [join(dir, 'folder'), 'it is a folder'],
      [join(dir, 'loop'), 'links'],
    ] as const;
    for (const [path, why] of cases) {
      const refused = { code: 'AIOT_FILE_NOT_WRITABLE', message: expect.stringContaining(why) };
      await expect(writeFileAtomic(path, 'x')).rejects.toMatchObject(refused);
      const two = new Map([
        [join(dir, 'first'), 'x'],
        [path, 'x'],
      ]);
      await expect(writeTogether(two)).rejects.toMatchObject(refused);
    }
    expect((await lstat(pipe)).isFIFO()).toBe(true);
    await expect(writeFileAtomic('', 'x')).rejects.toMatchObject({ code: 'AIOT_USAGE' });
  });
});

describe('output files', () => {
  it('are rejected if they are inputs, even through links and in a folder of recordings', async () => {
    const rows = join(dir, 'rows.csv');
    await writeFile(rows, 'a\n1\n');
    await symlink('rows.csv', join(dir, 'link.csv'));
    const code = 'AIOT_FILE_IS_INPUT';
    await expect(refuseInputs([join(dir, 'link.csv')], [rows])).rejects.toMatchObject({ code });
    await expect(refuseInputs([rows], [dir])).rejects.toMatchObject({ code });
    await expect(refuseInputs([join(dir, 'fresh.csv'), undefined], [dir, rows])).resolves.toBeUndefined();
  });
});
