import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadProject, type Project } from '../../../src/lib/core/project.js';
import { openModel } from '../../../src/lib/loop/model/open-model.js';
import { openSensing } from '../../../src/lib/loop/sense/open.js';
import { root } from '../../support/cli.js';
import {
  type MotionServer,
  type RunningStage,
  startMotionServer,
  startStage,
} from '../../support/motion-server.js';
import { describeReal } from '../../support/real.js';

describeReal('nats', 'the motion system end to end, from recordings to labels', () => {
  let dir: string;
  let server: MotionServer;
  let project: Project;
  const running: RunningStage[] = [];
  const options = () => ({ env: server.env, credentials: server.credentials });

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'aiot-chain-'));
    const template = join(root, 'templates/har-imu');
    await cp(join(template, 'data'), join(dir, 'data'), { recursive: true });
    const text = await readFile(join(template, 'aiot.feats.yaml'), 'utf8');
    // A second of training is enough to distinguish lying down from walking.
    await writeFile(
      join(dir, 'aiot.yaml'),
      text.replace(/ train: .*/, ' train: { epochs: 3, batch: 32, seed: 7, stride: 125 }'),
    );
    project = await loadProject(dir);
    server = await startMotionServer();
  });
  afterAll(async () => {
    for (const stage of running) await stage.stop();
    await server?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const replay = async (name: string) => {
    const { fields } = project.config.stream;
    const sense = startStage({
      stage: 'sense',
      ...options(),
      openSensing: () =>
        openSensing({
          sensor: `file:${join(dir, 'data/recordings', name)}?rate=100&speed=max`,
          contract: {
            fields: Object.entries(fields).map(([field, { unit }]) => ({ name: field, unit: unit ?? '' })),
            rateHz: 100,
          },
        }),
    });
    return sense.ended;
  };

  it('labels each replayed recording with its activity', async () => {
    const start = (stage: Parameters<typeof startStage>[0]) => {
      const begun = startStage(stage);
      running.push(begun);
      return begun;
    };
    const extract = start({ stage: 'extract', ...options(), lowpassHz: 12 });
    const openModels = () => openModel({ project, simulate: true, cache: join(dir, 'cache') });
    const predict = start({ stage: 'predict', ...options(), openModels });
    const output = start({ stage: 'output', ...options() });
    await Promise.all([extract, predict, output].map((stage) => stage.told('ready')));
    for (const [file, label] of [
      ['lying1.csv', 'resting'],
      ['walking1.csv', 'walking'],
    ] as const) {
      const before = output.events.filter(({ kind }) => kind === 'label').length;
      const sent = await replay(file);
      expect(sent.published).toBe(3 * sent.taken);
      const windows = Math.floor(sent.taken / 500);
      expect(windows).toBeGreaterThan(3);
      await output.told('label', before + windows);
      const voted = output.events.flatMap((event) => (event.kind === 'label' ? [event.voted] : []));
      expect(voted.at(-1), file).toBe(label);
    }
    expect(extract.events.some(({ kind }) => kind === 'lost')).toBe(false);
  });
});
