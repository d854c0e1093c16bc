import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, expect, it } from 'vitest';
import { foundFacesSchema } from '../../src/lib/vision/faces.js';
import { pictureFacts } from '../../src/lib/vision/facts.js';
import { runCli } from '../support/cli.js';
import { describeReal, picturesFolder } from '../support/real.js';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aiot-faces-'));
  await writeFile(join(dir, 'text.jpg'), 'no picture');
  await sharp({ create: { width: 64, height: 48, channels: 3, background: '#678' } }).toFile(
    join(dir, 'blue.png'),
  );
});

describeReal('pictures', 'aiot vision faces on photographs', () => {
  const files = ['astronaut.png', 'sample1.jpg', 'coffee.png'].map((name) => join(picturesFolder, name));

  it('reports boxes and writes the faces in grayscale', async () => {
    const out = join(dir, 'faces');
    const { code, json } = await runCli([
      'vision',
      'faces',
      ...files,
      '--out',
      out,
      '--size',
      '64',
      '--json',
    ]);
    expect(code).toBe(0);
    const found = foundFacesSchema.parse(json);
    expect(found.faces).toBe(4);
    expect(found.pictures.map(({ faces }) => faces.length)).toEqual([1, 3, 0]);
    expect(found.pictures[0]!.faces[0]!.points.nose[0]).toBeGreaterThan(190);
    expect((await readdir(out)).sort()).toEqual(['face0.png', 'face1.png', 'face2.png', 'face3.png']);
    for (const { crop } of found.pictures.flatMap(({ faces }) => faces)) {
      const bytes = await readFile(crop!);
      expect(pictureFacts(bytes)).toMatchObject({ format: 'png', width: 64, height: 64 });
      expect(await sharp(bytes).metadata()).toMatchObject({ space: 'b-w', channels: 1 });
    }
  });

  it('prints a table, and the faces if colors are supported', async () => {
    const plain = await runCli(['vision', 'faces', files[0]!]);
    expect(plain.stdout).toMatch(/^picture +score +x +y +width +height +written\n\S+astronaut\.png +0\.91\d/);
    expect(plain.stdout).not.toContain('▀');
    process.env.FORCE_COLOR = '1';
    const seen = await runCli(['vision', 'faces', files[0]!]).finally(() => {
      delete process.env.FORCE_COLOR;
    });
    expect(seen.stdout.split('\n').filter((line) => line.includes('▀')).length).toBe(12);
  });

  it('does not overwrite an input picture with a face', async () => {
    const own = join(dir, 'face0.png');
    await writeFile(own, await readFile(files[0]!));
    const { code, stderr } = await runCli(['vision', 'faces', own, '--out', dir]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('AIOT_FILE_IS_INPUT')]);
  });
});
