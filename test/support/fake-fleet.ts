import { join } from 'node:path';
import type { RegistryClient } from '../../src/lib/api/client.js';
import type { Desired } from '../../src/lib/device/protocol/messages.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type FakeDevice, fakeDevice } from './fake-device.js';

/** A fake device's reaction to a desired release; null = none. */
export type Answer = 'commits' | 'rolls back' | 'refuses' | null;

export interface FakeFleet {
  devices: FakeDevice[];
  /** Returns the names of the devices that have committed a version, in the order of committing. */
  took(version: number): string[];
  stop(): Promise<void>;
}

/** Creates provisioned online devices, each of which responds to a request immediately. */
export async function fakeFleet(
  { client, mqtts, folder }: { client: RegistryClient; mqtts: string; folder: string },
  names: readonly string[],
  answer: (device: string, wish: Desired) => Answer,
): Promise<FakeFleet> {
  const devices: FakeDevice[] = [];
  const committed: { name: string; version: number }[] = [];
  for (const name of names) {
    const out = join(folder, name);
    await provisionDevice({ client, name, type: 'virtual', out });
    const device = await fakeDevice(mqtts, out, name);
    devices.push(device);
    const act = async (wish: Desired) => {
      const { version, sequence, name: model } = wish;
      const how = answer(name, wish);
      if (how === null) return;
      await device.report('DOWNLOADING');
      if (how === 'refuses') {
        await device.report('IDLE', { error: { code: 'AIOT_SIGNATURE_INVALID', message: 'not ours' } });
      } else if (how === 'rolls back') {
        await device.report('TRIAL');
        await device.report('ROLLED_BACK', { error: { code: 'AIOT_GOLDEN_FAILED', message: '1 of 3' } });
      } else {
        committed.push({ name, version });
        const running = { name: model, version, sequence, digest: `sha256:${'0'.repeat(64)}` };
        await device.report('COMMITTED', { model: running, golden: { vectors: 3, passed: 3 } });
      }
    };
    device.client.on('message', (_topic, payload) => {
      if (payload.length > 0) void act(JSON.parse(payload.toString('utf8')) as Desired).catch(() => {});
    });
    const [first] = device.desired;
    if (first) void act(first).catch(() => {});
  }
  return {
    devices,
    took: (version) => committed.filter((one) => one.version === version).map(({ name }) => name),
    async stop() {
      for (const { client } of devices) await client.endAsync(true);
    },
  };
}
