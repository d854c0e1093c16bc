import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addContext } from '../../src/lib/core/contexts.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { connectDevice } from './mqtt.js';
import { type TestPlatform, testPlatform } from './platform.js';

/**
 * Starts a platform, selects it as the context `own`, and sends it three recordings of the stream `motion` from the device `m1`. r1, r2 and
 * r3 start at 0, 10 and 20 s, and have ten samples of x at 100 Hz; r2 also has y.
 */
export async function motionDataset(): Promise<{
  own: TestPlatform;
  folder: string;
  /** Publishes a message from m1 with these samples. */
  publish: (payload: object) => Promise<unknown>;
  undo: () => Promise<void>;
}> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-datasets-'));
  const before = process.env.AIOT_CONFIG_DIR;
  process.env.AIOT_CONFIG_DIR = join(folder, 'config');
  const own = await testPlatform();
  const { platform, token } = own;
  await addContext('own', { url: platform.urls.http, ca: platform.ca, token }, { use: true });
  const out = join(own.folder, 'm1');
  await provisionDevice({ client: own.client, name: 'm1', type: 'virtual', out });
  const device = await connectDevice(platform.urls.mqtts, out);
  const publish = (payload: object) =>
    device.publishAsync('aiot/v1/m1/telemetry/motion', JSON.stringify(payload), { qos: 1 });
  for (const [recording, from] of Object.entries({ r1: 0, r2: 10_000, r3: 20_000 })) {
    for (let seq = 0; seq < 5; seq++) {
      const sample = { seq, t: from + seq * 20, rate: 100, recording, x: [seq, seq + 0.5] };
      await publish(recording === 'r2' ? { ...sample, y: [1, 2] } : sample);
    }
  }
  return {
    own,
    folder,
    publish,
    async undo() {
      await device.endAsync(true);
      await own.stop();
      await rm(folder, { recursive: true, force: true });
      if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
      else process.env.AIOT_CONFIG_DIR = before;
    },
  };
}
