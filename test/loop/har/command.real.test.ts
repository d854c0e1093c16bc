import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../../support/cli.js';
import { type NatsServer, natsClient, startNats } from '../../support/nats.js';
import { describeReal } from '../../support/real.js';

const empty = () => mkdtemp(join(tmpdir(), 'aiot-stage-'));

describeReal('nats', 'aiot loop run --stage', () => {
  let server: NatsServer;
  beforeAll(async () => {
    server = await startNats();
  });
  afterAll(() => server?.stop());

  it("runs a stage for a limited time with the original's environment, and reports its counts", async () => {
    process.env.NATS_ADDRESS = `127.0.0.1:${server.port}`;
    try {
      const dir = await empty();
      // Two windows, which the stage below extracts in its time even on a busy machine.
      const all = await readFile('templates/har-imu/data/recordings/walking1.csv', 'utf8');
      const file = join(dir, 'walking.csv');
      await writeFile(file, `${all.split('\n').slice(0, 1301).join('\n')}\n`);
      const sensor = `file:${file}?rate=100&speed=max`;
      const sent = await runCli([
        'loop',
        'run',
        '--stage',
        'sense',
        '--project',
        'templates/har-imu',
        '--sensor',
        sensor,
        '--json',
      ]);
      expect([sent.code, sent.stderr]).toEqual([0, expect.not.stringContaining('"error"')]);
      const { taken } = sent.json as { taken: number };
      expect(sent.json).toMatchObject({ stage: 'sense', taken: 1300, published: 3 * taken, lost: 0 });
      // A stage also runs without a project.
      const made = await runCli([
        'loop',
        'run',
        '--stage',
        'extract',
        '--project',
        dir,
        '--for',
        '8s',
        '--json',
      ]);
      await rm(dir, { recursive: true });
      expect(made.json).toMatchObject({ stage: 'extract', taken, windows: 2, lost: 0 });
      const client = await natsClient(server);
      const { state } = await (await client.jetstreamManager()).streams.info('RPI', {
        subjects_filter: 'feats',
      });
      expect(state.subjects).toEqual({ feats: 2 });
      await client.close();
    } finally {
      delete process.env.NATS_ADDRESS;
    }
  });
});

describe('aiot loop run --stage', () => {
  it.each([
    ['without a server', ['output'], 'AIOT_USAGE'],
    ['with an unknown stage', ['train'], 'AIOT_USAGE'],
    [
      'with --out for a stage that produces no labels',
      ['extract', '--out', 'mqtt://127.0.0.1/x'],
      'AIOT_LOOP_STAGE',
    ],
    [
      'with --sensor for a stage that reads no sensor',
      ['predict', '--sensor', 'i2c://1/lsm6ds3tr-c'],
      'AIOT_LOOP_STAGE',
    ],
  ])('fails %s', async (_, words, code) => {
    const dir = await empty();
    const result = await runCli(['loop', 'run', '--project', dir, '--json', '--stage', ...words]);
    await rm(dir, { recursive: true });
    expect([result.code, result.json]).toEqual([2, { error: expect.objectContaining({ code }) }]);
  });
});
