import { mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../support/cli.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-faces-'));
  await writeFile(join(dir, 'text.jpg'), 'no picture');
  await sharp({ create: { width: 64, height: 48, channels: 3, background: '#678' } }).toFile(
    join(dir, 'blue.png'),
  );
});

describe('aiot vision faces', () => {
  it('finds no faces in a picture without any, and reports the number of pictures', async () => {
    const { code, stdout } = await runCli(['vision', 'faces', join(dir, 'blue.png')]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^0 faces in 1 picture \(sparse, \d+\.\d ms each\)\n/);
  });

  it.each([
    [['text.jpg'], 2, 'AIOT_FILE_MALFORMED'],
    [['blue.png', 'absent.png'], 4, 'AIOT_FILE_NOT_FOUND'],
    [['blue.png', '--zoom', '9'], 2, 'zoom: expected 1 to 4, got 9'],
    [['blue.png', '--min-score', '0'], 2, 'min-score: expected 0.05 to 0.99, got 0'],
    [['blue.png', '--margin', '3'], 2, 'margin: expected 0 to 2, got 3'],
    [['blue.png', '--model', 'eigen'], 2, 'eigen'],
    [[], 2, 'PICTURES'],
  ])('rejects %j with exit code %i', async (words, exit, said) => {
    const argv = words.map((word) => (/\.(png|jpg)$/.test(word) ? join(dir, word) : word));
    const { code, stderr } = await runCli(['vision', 'faces', ...argv]);
    expect(stderr).toContain(said);
    expect(code).toBe(exit);
  });

  it('writes nothing if one of the files is not a picture', async () => {
    const out = join(dir, 'nothing');
    const { code } = await runCli([
      'vision',
      'faces',
      join(dir, 'blue.png'),
      join(dir, 'text.jpg'),
      '--out',
      out,
    ]);
    expect(code).toBe(2);
    expect(await readdir(dir)).not.toContain('nothing');
  });
});
