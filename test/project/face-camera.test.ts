import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { initProject } from '../../src/lib/project/init.js';
import { upProject } from '../../src/lib/project/up.js';
import { drawnFaces, findFaces } from '../../src/lib/vision/faces.js';
import { pictureFacts } from '../../src/lib/vision/facts.js';
import { runCli } from '../support/cli.js';

let folder: string;
let dir: string;
const before = process.env.AIOT_CONFIG_DIR;
const drawn = drawnFaces.reduce<number>((sum, faces) => sum + faces, 0);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-face-camera-'));
  process.env.AIOT_CONFIG_DIR = join(folder, 'config');
  dir = join(folder, 'hall');
  await initProject({ dir, template: 'face-camera' });
});
afterAll(async () => {
  if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
  else process.env.AIOT_CONFIG_DIR = before;
  await rm(folder, { recursive: true, force: true });
});

describe('the face camera', () => {
  it('includes pictures in which exactly the drawn faces are detected', async () => {
    const names = (await readdir(join(dir, 'pictures'))).sort();
    const found = await findFaces(names.map((name) => join(dir, 'pictures', name)));
    expect(found.pictures.map(({ faces }) => faces.length)).toEqual([...drawnFaces]);
  });

  it('has routes that pass their test cases', async () => {
    const { code, stdout } = await runCli(['stream', 'route', 'test', join(dir, 'routes.yaml')]);
    expect([code, stdout]).toEqual([0, expect.stringContaining('1 case passed, 0 failed')]);
  });

  it('stores every face using only the platform', async () => {
    const running = await upProject(
      {
        project: dir,
        data: join(folder, 'platform'),
        newToken: false,
        set: { CAMERA: 'pictures://pictures?fps=20' },
        host: '127.0.0.1',
        httpPort: 0,
        mqttPort: 0,
      },
      () => {},
    );
    const store = join(dir, 'data', 'faces');
    const stored = () => readdir(store).catch(() => [] as string[]);
    try {
      await expect
        .poll(async () => (await stored()).filter((name) => /^face\d+\.png$/.test(name)).length, {
          timeout: 20_000,
        })
        .toBe(drawn);
    } finally {
      await running.stop();
    }
    for (let n = 0; n < drawn; n++) {
      const facts = pictureFacts(await readFile(join(store, `face${n}.png`)));
      expect(facts).toMatchObject({ format: 'png' });
      expect(facts!.width).toBeGreaterThan(60);
    }
    const log = (await readFile(join(dir, 'data', 'faces.ndjson'), 'utf8')).trimEnd().split('\n');
    expect(log).toHaveLength(drawn);
    expect(JSON.parse(log[0]!)).toMatchObject({ topic: 'faces', payload: { bytes: expect.any(Number) } });
  });

  it('rejects an unknown camera setting at startup', async () => {
    const set = { CAMERA: 'camera:///dev/video0?frames=3' };
    const start = upProject(
      {
        project: dir,
        data: join(folder, 'platform'),
        newToken: false,
        set,
        host: '127.0.0.1',
        httpPort: 0,
        mqttPort: 0,
      },
      () => {},
    );
    await expect(start).rejects.toMatchObject({ code: 'AIOT_STREAM_URL' });
  });
});
