import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../src/lib/core/crypto.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { loadProject, type Project, parseProject } from '../../src/lib/core/project.js';
import { openModel } from '../../src/lib/loop/model/open-model.js';
import type { ModelEvent } from '../../src/lib/loop/types.js';
import { motionBundle, motionSamples } from '../support/motion-bundle.js';

let folder: string;
const before = process.env.AIOT_CONFIG_DIR;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-loop-model-'));
  process.env.AIOT_CONFIG_DIR = join(folder, 'config');
});
afterEach(async () => {
  if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
  else process.env.AIOT_CONFIG_DIR = before;
  await rm(folder, { recursive: true, force: true });
});

/** A project with the same stream as `motionBundle`. */
function motionProject(fields = 'x, y, z', rate = 100): Project {
  const file = join(folder, 'aiot.yaml');
  const list = fields.split(', ').map((name) => `${name}: { unit: g, range: [-8, 8] }`);
  const text = `name: motion
stream: { topic: motion, fields: { ${list.join(', ')} } }
signal: { rate: ${rate}, window: 50, stride: 25, features: raw }
model: { labels: { resting: [resting], walking: [walking], stairs: [stairs] } }
`;
  return { dir: folder, file, config: parseProject(text, file) };
}

describe('a model from a file', () => {
  it('runs once its golden vectors pass, and predicts on each window', async () => {
    const file = join(folder, 'motion.aiot');
    await writeFile(file, motionBundle());
    const keeper = await openModel({ reference: file, project: motionProject(), cache: folder });
    expect(keeper.state()).toMatchObject({ name: 'motion', version: null, source: 'file', swaps: 0 });
    expect(keeper.state().digest).toBe(digestOf(motionBundle()));
    const predictor = keeper.current().createPredictor();
    const answers = motionSamples(100).map((sample) => predictor.push(sample));
    expect(answers.filter((answer) => answer !== null)).toHaveLength(3);
    await keeper.close();
  });

  it.each([
    ['wrong golden vectors', { bytes: motionBundle(1, 'wrong') }, 'AIOT_GOLDEN_MISMATCH', /test vector/],
    ['other fields', { stream: 'a, b, c' }, 'AIOT_MODEL_UNFIT', /fields: expected a, b, c .* x, y, z/],
    ['another rate', { rate: 50 }, 'AIOT_MODEL_UNFIT', /rate: expected 50 Hz .* 100 Hz/],
    [
      'no project',
      { bytes: Buffer.from('\x1c\0\0\0TFL3 and more') },
      'AIOT_MODEL_UNFIT',
      /is a model without a project; a loop needs a bundle \(\.aiot\)/,
    ],
    ['content other than a bundle', { bytes: Buffer.from('hello') }, 'AIOT_BUNDLE_MALFORMED', /./],
  ] as const)('is rejected with %s', async (_, given, code, message) => {
    const file = join(folder, 'motion.aiot');
    await writeFile(file, 'bytes' in given ? given.bytes : motionBundle());
    const project = motionProject(
      'stream' in given ? given.stream : undefined,
      'rate' in given ? given.rate : undefined,
    );
    const opening = openModel({ reference: file, project, cache: folder });
    await expect(opening).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('is required', async () => {
    await expect(openModel({ project: motionProject(), cache: folder })).rejects.toMatchObject({
      code: 'AIOT_MODEL_NOT_BUILT',
    });
    await expect(openModel({ project: null, cache: folder })).rejects.toMatchObject({ code: 'AIOT_USAGE' });
  });
});

describe('a model trained into the cache', () => {
  it('leaves the project unchanged, and is reused the second time', async () => {
    const dir = join(folder, 'har');
    await cp(join(import.meta.dirname, '../../templates/har-imu'), dir, { recursive: true });
    const listing = await tree(dir);
    const project = await loadProject(dir);
    project.config.model.train.epochs = 3;
    project.config.model.train.members = 1;
    const events: ModelEvent[] = [];
    const steps: string[] = [];
    const options = {
      project,
      simulate: true,
      cache: join(folder, 'cache'),
      onEvent: (event: ModelEvent) => events.push(event),
      onStep: (text: string) => steps.push(text),
    };
    const ending = new AbortController();
    const stopped = openModel({
      ...options,
      signal: ending.signal,
      onStep: () => ending.abort(new AiotError('AIOT_INTERRUPTED', 'stopped')),
    });
    await expect(stopped).rejects.toMatchObject({ code: 'AIOT_INTERRUPTED' });
    const first = await openModel(options);
    expect(first.state()).toMatchObject({ name: 'har-imu', source: 'trained' });
    expect(steps.some((text) => /epoch 3\/3/.test(text))).toBe(true);
    expect(events.map(({ kind }) => kind)).toEqual(['trained']);
    expect(await tree(dir)).toEqual(listing);
    steps.length = 0;
    const second = await openModel(options);
    expect(steps.filter((text) => text.includes('epoch'))).toEqual([]);
    expect(second.state().digest).toBe(first.state().digest);
    expect(events).toHaveLength(1);
    // The digest depends on the training data, but not on the loop settings.
    project.config.loop.send = 'always';
    expect((await openModel(options)).state().digest).toBe(first.state().digest);
    expect(events).toHaveLength(1);
    project.config.model.train.epochs = 2;
    await openModel(options);
    expect(events).toHaveLength(2);
  });
});

/** Returns every file with its content. */
async function tree(dir: string): Promise<string[]> {
  const names = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(files.sort().map(async (file) => `${file} ${digestOf(await readFile(file))}`));
}
