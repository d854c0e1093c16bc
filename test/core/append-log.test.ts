import { type FileHandle, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { AppendLog, GroupCommit, writeAll } from '../../src/lib/core/append-log.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-append-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A file that accepts at most two bytes per write, like a nearly full disk. */
const slow = (file: FileHandle) =>
  ({
    write: (bytes: Uint8Array, from: number, length: number, at: number) =>
      file.write(bytes, from, Math.min(2, length), at),
    truncate: (length: number) => file.truncate(length),
  }) as FileHandle;

it('writeAll writes a whole block, however little the system accepts at once', async () => {
  const path = join(folder, 'log');
  const file = await open(path, 'wx+');
  await writeAll(slow(file), Buffer.from('abcdefg'), 0);
  await file.close();
  expect(await readFile(path, 'utf8')).toBe('abcdefg');
});

it('an append log undoes an append whose sync failed, and continues from there', async () => {
  const path = join(folder, 'log');
  const file = await open(path, 'wx+');
  let failing = false;
  const log = new AppendLog(file, 0, async () => {
    if (failing) throw new Error('no sync');
  });
  await log.append(Buffer.from('one\n'));
  failing = true;
  await expect(log.append(Buffer.from('two\n'))).rejects.toThrow('no sync');
  expect([log.end, await readFile(path, 'utf8')]).toEqual([4, 'one\n']);
  await log.append(Buffer.from('three\n'), false);
  expect([log.end, await readFile(path, 'utf8')]).toEqual([10, 'one\nthree\n']);
  await file.close();
});

it('a group commit batches entries that arrive while another batch is written', async () => {
  const batches: number[][] = [];
  let finish = () => {};
  const commits = new GroupCommit<number>(async (batch) => {
    batches.push(batch);
    await new Promise<void>((resolve) => (finish = resolve));
  });
  commits.add(1);
  commits.add(2);
  await new Promise(setImmediate);
  commits.add(3);
  commits.add(4);
  expect([batches, commits.waiting]).toEqual([[[1, 2]], [3, 4]]);
  finish();
  await new Promise(setImmediate);
  finish();
  await commits.settled();
  expect([batches, commits.busy]).toEqual([
    [
      [1, 2],
      [3, 4],
    ],
    false,
  ]);
});

it('a group commit holds back entries while a task runs alone, then writes them', async () => {
  const batches: string[][] = [];
  const commits = new GroupCommit<string>(async (batch) => {
    batches.push(batch);
  });
  await commits.alone(async () => {
    commits.add('meanwhile');
    await new Promise(setImmediate);
    expect(batches).toEqual([]);
  });
  await commits.settled();
  expect(batches).toEqual([['meanwhile']]);
  commits.add('later', false);
  await new Promise(setImmediate);
  expect(batches.length).toBe(1);
  await commits.settled();
  expect(batches.length).toBe(2);
});
