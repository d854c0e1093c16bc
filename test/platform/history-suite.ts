import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import type { Store } from '../../src/lib/platform/store/database.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { fakeDevice } from '../support/fake-device.js';
import { fillHistory } from '../support/history.js';
import type { TestPlatform } from '../support/platform.js';
import { ask } from '../support/raw-http.js';

const [minute, hour, day] = [60_000, 3_600_000, 86_400_000];

/** The history by the API, on any database. @param use passes the database of a stopped platform to a task */
export function historySuite(
  start: () => Promise<TestPlatform>,
  use: (own: TestPlatform, task: (store: Store) => Promise<void>) => Promise<void>,
): void {
  let own: TestPlatform;
  /** The start of an hour yesterday. */
  const begin = Math.floor(Date.now() / hour) * hour - day + hour;

  beforeAll(async () => {
    own = await start();
    for (const name of ['pump-1', 'pump-2'])
      await provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
    await own.client.devices.change(['pump-1'], { action: 'tag', set: { site: 'lab' }, remove: [] }, false);
    const { client: pump } = await fakeDevice(own.platform.urls.mqtts, join(own.folder, 'pump-1'), 'pump-1');
    for (const [seq, label] of ['idle', 'fault', 'idle'].entries())
      await pump.publishAsync(
        'aiot/v1/pump-1/inference',
        JSON.stringify({
          ...{ seq, t: Date.now(), model: { name: 'watch', version: 1 }, window: seq, label, voted: label },
          ...{ scores: [0.9, 0.1], latencyMs: 20 },
        }),
        { qos: 1 },
      );
    await pump.endAsync();
    await own.client.close();
    await own.platform.stop();
    await use(own, (store) =>
      fillHistory(store, {
        names: ['pump-1', 'pump-2'],
        times: Array.from({ length: 60 }, (_, i) => begin + i * minute).filter(
          (at) => at < begin + 30 * minute || at >= begin + 37 * minute,
        ),
        isOnline: (name, at) => name === 'pump-1' || at < begin + 20 * minute,
        predictions: (name, at) => [
          { label: name === 'pump-1' ? 'idle' : 'fault', latencyMs: at < begin + 30 * minute ? 10 : 50 },
        ],
      }),
    );
    await own.start();
  }, 120_000);
  afterAll(() => own?.stop());

  const hourOf = { from: begin, to: begin + hour };

  it('returns presence of all devices, and of some', async () => {
    const { history } = own.client;
    const all = await history.presence(hourOf);
    expect(all).toMatchObject({ ...hourOf, bucketMs: 10 * minute });
    expect(all.buckets.map(({ minutes, online, devices }) => [minutes, online, devices])).toEqual([
      [10, 2, 2],
      [10, 2, 2],
      [10, 1, 2],
      [3, 1, 2],
      [10, 1, 2],
      [10, 1, 2],
    ]);
    const some = await history.presence({ ...hourOf, bucket: '1h', selector: 'not site=lab' });
    expect(some.buckets).toEqual([{ at: begin, minutes: 53, online: 0.377, devices: 1 }]);
    const unknown = await history.presence({ from: begin - 2 * hour, to: begin, bucket: '1h' });
    expect(unknown.buckets.map(({ online }) => online)).toEqual([null, null]);
  });

  it('returns predictions by class, and latency', async () => {
    const { history } = own.client;
    const { classes, models, buckets } = await history.predictions({ ...hourOf, bucket: '1h' });
    expect([classes, models]).toEqual([['fault', 'idle'], ['watch@1']]);
    expect(buckets).toEqual([{ at: begin, total: 106, counts: [53, 53] }]);
    const one = await history.predictions({ ...hourOf, bucket: '1h', selector: 'pump-1' });
    expect([one.classes, one.buckets]).toEqual([['idle'], [{ at: begin, total: 53, counts: [53] }]]);
    const none = await history.predictions({ ...hourOf, bucket: '1h', model: 'other' });
    expect(none.buckets).toEqual([{ at: begin, total: 0, counts: [] }]);
    const latency = await history.latency(hourOf);
    const p50 = latency.buckets.map((bucket) => bucket.p50 ?? 0);
    expect(p50.slice(0, 3).every((ms) => ms >= 10 && ms <= 11)).toBe(true);
    expect(p50.slice(3).every((ms) => ms >= 50 && ms <= 55)).toBe(true);
  });

  it('counts the messages that were stored before a restart, once, also after another one', async () => {
    const sums = async () => {
      const { history } = own.client;
      const { buckets, countedUntil } = await history.predictions({ from: Date.now() - 20 * minute });
      expect(countedUntil).toBeGreaterThan(begin);
      return buckets.reduce((sum, { total }) => sum + (total ?? 0), 0);
    };
    await expect.poll(sums, { timeout: 20_000, interval: 200 }).toBe(3);
    await own.restart();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await sums()).toBe(3);
  });

  it('shows limited users only their devices', async () => {
    const made = await own.client.tokens.create({ name: 'lab', role: 'viewer', selector: 'site=lab' });
    const lab = createClient({ url: own.platform.urls.http, ca: own.ca, token: made.token });
    try {
      const wide = { ...hourOf, bucket: '1h' } as const;
      expect((await lab.history.presence(wide)).buckets[0]).toMatchObject({ online: 1, devices: 1 });
      expect((await lab.history.predictions(wide)).classes).toEqual(['idle']);
      expect((await lab.history.latency(wide)).buckets[0]).toMatchObject({ total: 53 });
      await expect(lab.history.presence({ ...wide, selector: 'pump-2' })).rejects.toMatchObject({
        code: 'AIOT_NOT_ALLOWED',
      });
    } finally {
      await lab.close();
    }
  });

  it.each([
    ['presence?from=x', 'AIOT_REQUEST_INVALID', 'from'],
    ['presence?from=-1', 'AIOT_REQUEST_INVALID', 'from'],
    ['presence?from=5&to=5', 'AIOT_REQUEST_INVALID', 'from: expected a time before'],
    ['presence?from=0', 'AIOT_REQUEST_INVALID', 'the range is longer than 31d'],
    ['presence?bucket=5m', 'AIOT_REQUEST_INVALID', 'bucket'],
    ['predictions?bucket=1m', 'AIOT_REQUEST_INVALID', 'buckets of 1m are kept for 3h'],
    ['predictions?model=', 'AIOT_REQUEST_INVALID', 'model'],
    ['latency?selector=site%3D%3D', 'AIOT_SELECTOR_INVALID', ''],
  ])('rejects %s', async (path, code, text) => {
    const { status, text: body } = await ask(own, `/api/v1/history/${path}`);
    expect([status, body]).toEqual([400, expect.stringContaining(code)]);
    expect(body).toContain(text);
  });
}
