import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { loadProject, publicKeyOf, readText } from '../../core/index.js';
import { openDataset } from '../../data/index.js';
import { createNativeDevice, createVirtualDevice } from '../../device/index.js';
import { trustRootOf } from '../../formats/index.js';
import { startPlatform } from '../../platform/index.js';
import { initProject } from '../../project/index.js';
import { ensureOperatorKey, provisionDevice } from '../../provision/index.js';
import { createClient } from '../../registry/index.js';
import { readOriginals } from '../originals.js';
import type { DemoStep, DemoWork } from '../work.js';

/** The template's project, its recordings set aside: the project's own data is to come over the wire. */
export function platformStep(work: DemoWork): DemoStep {
  return {
    title: 'Start a platform: API, MQTT broker, database, file store and CA',
    run: async (_report) => {
      const { folder, recordings, httpPort, mqttPort } = work.options;
      const dir = join(folder, 'project');
      await initProject({ dir, template: 'har-imu', name: 'har-imu' });
      work.project = await loadProject(dir);
      const replayed = join(folder, 'recordings');
      await rename(join(dir, 'data'), replayed);
      await mkdir(join(dir, 'data'));
      work.originals = recordings === undefined ? await readOriginals(work.project, replayed) : null;
      // Read before anything is started: wrong recordings are refused while there is nothing to clean up.
      work.source = await openDataset(work.project, recordings ?? replayed);
      work.platform = await startPlatform({
        dataDir: join(folder, 'platform'),
        host: '127.0.0.1',
        httpPort,
        mqttPort,
      });
      work.closers.push(() => work.platform.stop());
      const ca = await readText(work.platform.ca);
      work.client = createClient({ url: work.platform.urls.http, ca, token: work.platform.token });
      work.closers.push(() => work.client.close());
      work.operatorKey = await ensureOperatorKey('demo', join(folder, 'operator'));
      await work.client.trust.put(trustRootOf(publicKeyOf(work.operatorKey)));
      return `${work.platform.urls.http}, ${work.platform.urls.mqtts}`;
    },
  };
}

export function provisionStep(work: DemoWork): DemoStep {
  const { native = false } = work.options;
  return {
    title: `Provision ${work.options.devices} ${native ? 'native' : 'virtual'} devices, each with its own key and certificate`,
    run: async (report) => {
      const names = Array.from({ length: work.options.devices }, (_, i) => `wearable-${i + 1}`);
      for (const name of names) {
        const out = join(work.options.folder, 'devices', name);
        await provisionDevice({ client: work.client, name, type: 'virtual', out });
        const device = native
          ? await createNativeDevice({
              identityDir: out,
              onBuild: () => report('building the native device'),
            })
          : await createVirtualDevice({ identityDir: out });
        work.devices.push(device);
        work.closers.push(() => device.stop());
        await device.connect();
        report(`${name} is online`);
      }
      return `${names.length} online over mTLS${native ? ', each in its own process' : ''}`;
    },
  };
}
