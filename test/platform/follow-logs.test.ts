import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import type { LogLine } from '../../src/lib/api/contract/devices.js';
import type { FollowLogs } from '../../src/lib/api/follow-logs.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { fixedPorts, type TestPlatform, testPlatform } from '../support/platform.js';

const patience = { timeout: 30_000, interval: 20 };

let own: TestPlatform;
let devices: FakeDevice[] = [];
const names = ['pump', 'fan'];
const connect = async () => {
  devices = await Promise.all(
    names.map((name) => fakeDevice(own.platform.urls.mqtts, join(own.folder, name), name)),
  );
};
const disconnect = () => Promise.all(devices.map(({ client }) => client.endAsync(true)));
beforeAll(async () => {
  own = await testPlatform(await fixedPorts());
  for (const name of names)
    await provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
  await connect();
});
afterAll(async () => {
  await disconnect();
  await own.stop();
});

const say = (name: string, message: string, level = 'info') =>
  devices
    .find((device) => device.name === name)
    ?.client.publishAsync(`aiot/v1/${name}/log`, JSON.stringify({ t: Date.now(), level, message }), {
      qos: 1,
    });

/** Follows with a client of its own, which survives a restart of the platform. */
function follow(options: Partial<FollowLogs> = {}) {
  const client = createClient({ url: own.platform.urls.http, ca: own.ca, token: own.token });
  const ending = new AbortController();
  const lines: LogLine[] = [];
  const states: string[] = [];
  let gate = Promise.resolve();
  let open = () => {};
  const work = (async () => {
    const { signal } = ending;
    const onState = (state: string) => states.push(state);
    const query = { since: Date.now() - 3600_000, newest: 50, signal, onState, ...options };
    for await (const line of client.devices.followLogs(query)) {
      lines.push(line);
      await gate;
    }
  })();
  work.catch(() => {});
  return {
    states,
    messages: () => lines.map(({ message }) => message),
    /** Reads nothing until `resume` is called. */
    pause() {
      gate = new Promise((resolve) => {
        open = resolve;
      });
    },
    resume: () => open(),
    async stop() {
      ending.abort();
      open();
      await work.catch(() => {});
      await client.close();
    },
  };
}

it('begins with the newest stored lines, and continues with new ones that match', async () => {
  for (const text of ['one', 'two', 'three']) await say('pump', text);
  const followed = follow({ newest: 2 });
  await expect.poll(followed.messages, patience).toEqual(['two', 'three']);
  const warnings = follow({ newest: 1, level: 'warn', contains: 'LOW', selector: 'site=hall' });
  const later = () => warnings.messages().filter((text) => text !== 'low?');
  // Following begins some time after the call. A search for stored lines would use the tags of that time.
  await own.client.devices.patch('fan', { tags: { site: 'hall' } });
  await expect
    .poll(async () => {
      await say('fan', 'low?', 'warn');
      return warnings.messages().length;
    }, patience)
    .toBeGreaterThan(1);
  await own.client.devices.patch('fan', { tags: { site: null } });
  await say('fan', 'four');
  const shown = () => followed.messages().filter((text) => text !== 'low?');
  await expect.poll(shown, patience).toEqual(['two', 'three', 'four']);
  // A device counts as it is when the line arrives.
  await say('fan', 'low flow', 'warn');
  await expect.poll(shown, patience).toEqual(['two', 'three', 'four', 'low flow']);
  await own.client.devices.patch('fan', { tags: { site: 'hall' } });
  await say('pump', 'low flow', 'warn');
  await say('fan', 'low flow again');
  await say('fan', 'low pressure', 'error');
  await say('fan', 'hot', 'error');
  await say('fan', 'still low', 'warn');
  await expect.poll(later, patience).toEqual(['low pressure', 'still low']);
  await followed.stop();
  await warnings.stop();
});

it('shows each line once across restarts of the platform, equal lines as often as they occurred', async () => {
  const followed = follow({ since: Date.now() });
  await expect
    .poll(async () => {
      await say('pump', 'ready?');
      return followed.messages().length;
    }, patience)
    .toBeGreaterThan(0);
  const expected: string[] = [];
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 10; i++) {
      expected.push(`round ${round}`, `round ${round}`);
      await Promise.all([say('pump', `round ${round}`), say('pump', `round ${round}`)]);
    }
    await disconnect();
    await own.restart();
    await connect();
    // The reader is most probably not connected again yet.
    expected.push(`after ${round}`);
    await say('fan', `after ${round}`);
  }
  const later = () => followed.messages().filter((text) => text !== 'ready?');
  await expect.poll(() => later().length, patience).toBe(expected.length);
  expect(later().sort()).toEqual(expected.sort());
  expect(followed.states).toContain('disconnected');
  await followed.stop();
});

it('catches up with lines that it was too slow to receive', { timeout: 120_000 }, async () => {
  const followed = follow({ since: Date.now() });
  await expect
    .poll(async () => {
      await say('pump', 'begin?');
      return followed.messages().length;
    }, patience)
    .toBeGreaterThan(0);
  followed.pause();
  const long = 'x'.repeat(900);
  const count = 12_000;
  for (let i = 0; i < count; i += 500)
    await Promise.all(Array.from({ length: 500 }, (_, j) => say('fan', `${i + j} ${long}`)));
  followed.resume();
  const later = () => followed.messages().filter((text) => text !== 'begin?');
  await expect.poll(() => later().length, { timeout: 60_000, interval: 100 }).toBe(count);
  expect(new Set(later()).size).toBe(count);
  await followed.stop();
});
