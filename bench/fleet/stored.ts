// The platform's response time for the queries of `aiot rollout show` and `aiot device list --selector`. Many devices are stored,
// and three in four are part of one rollout.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '../../src/lib/api/client.js';
import { contextFor } from '../../src/lib/api/context.js';
import { release } from '../../src/lib/model/publish/push.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { tinyBundle } from '../../test/support/bundle.js';
import { timed } from '../platform/api.js';
import { startPlatformProcess } from '../platform/process.js';
import { seed } from '../platform/seed.js';

export interface StoredFigure {
  what: string;
  /** Time until the complete response has arrived, ms. */
  p50: number;
  p99: number;
}

export interface StoredFigures {
  devices: number;
  /** Number of devices in the rollout. */
  members: number;
  /** Time to start the rollout, s. */
  start: number;
  figures: StoredFigure[];
}

const selectors = [
  'site=nowhere',
  'type=esp32 and fw<1.0.1 and site=site-7',
  'online=true or lastSeen>9000d',
  'name~*99999',
];

export async function storedFigures(folder: string, devices: number): Promise<StoredFigures> {
  const first = await startPlatformProcess(folder);
  await first.stop();
  await seed(join(folder, 'platform', 'state.db'), devices);
  const platform = await startPlatformProcess(folder);
  const ca = readFileSync(platform.ca, 'utf8');
  const client = createClient({ url: platform.urls.http, ca, token: first.token });
  const figures: StoredFigure[] = [];
  const measure = async (what: string, requests: number, ask: () => Promise<unknown>) => {
    const one = async () => {
      const began = performance.now();
      await ask();
      return performance.now() - began;
    };
    await one();
    const { p50, p99 } = await timed(1, requests, one);
    figures.push({ what, p50, p99 });
  };
  try {
    for (const selector of selectors)
      await measure(`device list, ${selector}`, 20, () => client.devices.list(selector));
    // On its first start, the platform saved the operator's key next to the context.
    process.env.AIOT_CONFIG_DIR = join(folder, 'config');
    const key = await operatorKey((await contextFor()).name);
    const signed = { name: 'tiny', issued: Date.now(), expires: null, deviceTypes: ['esp32'] };
    const { version, sequence } = await release(client, tinyBundle(), signed, key);
    const begun = performance.now();
    const { id, waves } = await client.rollouts.start({
      releases: [{ kind: 'model', name: 'tiny', version, sequence }],
      rollback: null,
      selector: 'type=esp32',
      policy: { waves: ['1%', '10%', '50%', '100%'] },
    });
    const start = (performance.now() - begun) / 1000;
    const status = () =>
      Promise.all([
        client.rollouts.get(id),
        ...(['failed', 'rolledBack', 'missed'] as const).map((state) =>
          client.rollouts.devices(id, { state }),
        ),
      ]);
    await measure('rollout show, running', 20, status);
    await client.rollouts.command(id, 'pause');
    await measure('rollout show, paused', 20, status);
    await client.rollouts.command(id, 'abort');
    await measure('rollout show, finished', 20, status);
    await measure('rollout list', 20, () => client.rollouts.list());
    const members = waves.reduce((sum, wave) => sum + wave.devices, 0);
    return { devices, members, start, figures };
  } finally {
    await client.close();
    await platform.stop();
  }
}
