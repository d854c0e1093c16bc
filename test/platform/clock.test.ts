import { join } from 'node:path';
import { Agent, fetch } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/core/time.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { oneWave } from '../support/rollout.js';

describe('a clock set back by a day', () => {
  let own: TestPlatform;
  let later = 0;
  const clock = { ...systemClock, now: () => Date.now() + later };
  beforeAll(async () => {
    own = await testPlatform({ clock });
  });
  afterAll(() => own.stop());

  const provision = (name: string) =>
    provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
  const pushed = async () => {
    const dispatcher = new Agent({ connect: { ca: own.ca } });
    const headers = { authorization: `Bearer ${own.token}` };
    const answer = await fetch(`${own.platform.urls.http}/api/v1/audit?limit=100`, { dispatcher, headers });
    const { entries } = (await answer.json()) as { entries: { action: string; subject: string }[] };
    await dispatcher.close();
    return entries.map(({ action, subject }) => `${action} ${subject}`);
  };

  it('changes no order, locks out no device, and reuses no number', async () => {
    await provision('before');
    const first = await pushTiny(own.client, own.key);
    later = -86_400_000;
    await own.restart();
    await provision('after');
    const second = await pushTiny(own.client, own.key, { seed: 1 });
    expect([second.version, second.sequence]).toEqual([first.version + 1, first.sequence + 1]);
    expect(second.pushed).toBeLessThan(first.pushed);
    // Newest first, by the order of writing rather than the timestamps.
    const told = await pushed();
    const order = [
      'model.push tiny@2',
      'device.provision after',
      'model.push tiny@1',
      'device.provision before',
    ];
    expect(told.filter((entry) => order.includes(entry))).toEqual(order);
    for (const name of ['before', 'after']) {
      const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, name));
      const sent = (seq: number) => JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq });
      await device.publishAsync(`aiot/v1/${name}/telemetry/s`, sent(1), { qos: 1 });
      await device.endAsync();
      await expect.poll(async () => (await own.client.devices.get(name)).state).toBe('active');
    }
    const { version, sequence } = second;
    const { id } = await own.client.rollouts.start(
      oneWave({ name: 'tiny', version, sequence, deadlineMs: 1000 }),
    );
    later -= 3_600_000;
    expect((await own.client.rollouts.get(id)).state).toBe('running');
    later += 2 * 86_400_000;
    await expect
      .poll(async () => (await own.client.rollouts.get(id)).state, { timeout: 20_000 })
      .toBe('failed');
  }, 30_000);
});
