import { join } from 'node:path';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ModelVersion } from '../../src/lib/api/api.js';
import { type Discovery, type HomeAssistant, sensorOf } from '../../src/lib/fleet/home-assistant.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';

/** A client that listens as Home Assistant does. */
export interface Home {
  client: MqttClient;
  /** All messages in order of arrival. */
  heard: { topic: string; payload: string; retained: boolean; at: number }[];
  /** The last message of each topic; a topic with an empty payload is absent. */
  now: Map<string, string>;
}

export async function home(client: MqttClient, prefix = 'homeassistant'): Promise<Home> {
  const heard: Home['heard'] = [];
  const now: Home['now'] = new Map();
  client.on('message', (topic, payload, { retain }) => {
    heard.push({ topic, payload: payload.toString(), retained: retain, at: performance.now() });
    if (payload.length === 0) now.delete(topic);
    else now.set(topic, payload.toString());
  });
  await client.subscribeAsync([`${prefix}/device/+/config`, 'aiot/homeassistant/#'], { qos: 1 });
  return { client, heard, now };
}

/** Definition of a project with two sensors. */
export const definitionOf = (more: Partial<HomeAssistant> = {}): HomeAssistant => ({
  ...{ project: 'home', broker: null, prefix: 'homeassistant', selector: 'all', everyMs: 1000 },
  ...{ installs: null, stream: 'motors' },
  sensors: [sensorOf('temperature', 'degC'), sensorOf('load', '%')],
  ...more,
});

export const waitLong = { timeout: 60_000, interval: 20 };

/** The discovery messages that have arrived, by device. */
export function discoveries({ now }: Home): Map<string, Discovery> {
  const found = [...now].filter(([topic]) => topic.endsWith('/config'));
  return new Map(
    found.map(([, payload]) => {
      const discovery = JSON.parse(payload) as Discovery;
      return [String(discovery.device.name), discovery];
    }),
  );
}

/** The last message on a device's topic, such as `state`. */
export function told({ now }: Home, device: string, what: string): unknown {
  const [, payload] = [...now].find(([topic]) => topic.endsWith(`/devices/${device}/${what}`)) ?? [];
  return payload?.startsWith('{') ? JSON.parse(payload) : payload;
}

interface Side {
  /** Fields of the definition for this broker. */
  definition(): Partial<HomeAssistant>;
  /** Connects as Home Assistant, whose user may install updates. */
  connect(own: TestPlatform): Promise<MqttClient>;
  /** Connects as a client that may publish install commands, but whose user may not start rollouts; then returns the expected denial. */
  refused(own: TestPlatform): Promise<{ client: MqttClient; who: string; undo(): Promise<unknown> }>;
  /** The name, as in events, of the user who installs updates. */
  who: RegExp;
}

/** Behavior that is the same on the platform's broker and on another one. */
export function homeAssistantSuite(side: Side): void {
  let own: TestPlatform;
  let device: FakeDevice;
  let assistant: Home;
  let first: ModelVersion;
  const apply = (more: Partial<HomeAssistant> | null = {}) =>
    own.platform.applyHomeAssistant({
      project: 'home',
      definition: more && definitionOf({ ...side.definition(), ...more }),
    });
  const running = ({ name, version, sequence, digest }: ModelVersion) => ({
    name,
    version,
    sequence,
    digest,
  });
  const denials = async () => {
    const { entries } = await own.client.audit.log({ limit: 1000, type: 'access.deny' });
    return entries.map(({ who, subject }) => [who, subject]);
  };

  beforeAll(async () => {
    own = await testPlatform();
    for (const name of ['hall.lamp', 'cellar'])
      await provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
    first = await pushTiny(own.client, own.key);
    assistant = await home(await side.connect(own));
    device = await fakeDevice(own.platform.urls.mqtts, join(own.folder, 'hall.lamp'), 'hall.lamp');
    await device.report('IDLE', {
      model: running(first),
      firmware: { version: '1.0 {{ states("lock.door") }}\u0007' },
    });
    await apply();
  });
  afterAll(async () => {
    await device.client.endAsync(true);
    await assistant.client.endAsync(true);
    await own.stop();
  });

  it('announces each device with its sensors, retained', async () => {
    await expect
      .poll(() => [...discoveries(assistant).keys()].sort(), waitLong)
      .toEqual(['cellar', 'hall.lamp']);
    const { device: shown, components } = discoveries(assistant).get('hall.lamp') as Discovery;
    expect(shown).toMatchObject({
      manufacturer: 'aiot',
      model: 'virtual',
      sw_version: '1.0 {{ states("lock.door") }}',
    });
    expect(Object.keys(components).sort()).toEqual([
      ...['confidence', 'field_load', 'field_temperature', 'firmware_version', 'model_version', 'prediction'],
    ]);
    expect(Object.keys(discoveries(assistant).get('cellar')?.components ?? {})).toEqual([
      'field_temperature',
      'field_load',
    ]);
    const again = await home(await side.connect(own));
    await expect.poll(() => discoveries(again).size, waitLong).toBe(2);
    expect(
      again.heard.filter(({ topic }) => topic.endsWith('/config')).every(({ retained }) => retained),
    ).toBe(true);
    await again.client.endAsync(true);
  });

  it('publishes the presence, values and predictions of a device', async () => {
    await expect.poll(() => told(assistant, 'hall.lamp', 'availability'), waitLong).toBe('online');
    await expect.poll(() => told(assistant, 'cellar', 'availability'), waitLong).toBe('offline');
    const send = (channel: string, message: object) =>
      device.client.publishAsync(`aiot/v1/hall.lamp/${channel}`, JSON.stringify(message), { qos: 1 });
    await send('telemetry/motors', { t: 1, rate: 10, temperature: [20, 21.5], load: [7, 8], other: [1, 2] });
    await send('telemetry/unrelated', { t: 1, temperature: 99 });
    await send('inference', {
      ...{ seq: 0, t: Date.now(), model: { name: 'tiny', version: 1 }, window: 0, latencyMs: 1 },
      ...{ label: 'low', voted: '{{ 1 + 1 }}\n"high"', scores: [0.0314, 0.9686] },
    });
    await expect
      .poll(() => told(assistant, 'hall.lamp', 'state'), waitLong)
      .toEqual({
        values: { temperature: 21.5, load: 8 },
        label: '{{ 1 + 1 }} "high"',
        confidence: 96.9,
        firmware: '1.0 {{ states("lock.door") }}',
        model: 'tiny@1',
      });
    const discovery = JSON.stringify(
      [...discoveries(assistant).values()].map(({ components }) => components),
    );
    expect(discovery).not.toContain('1 + 1');
    expect(discovery).not.toContain('lock.door');
  });

  it('starts a rollout in the name of the user who may install, and only for that device', async () => {
    const second = await pushTiny(own.client, own.key, { seed: 1 });
    await own.client.models.promote('tiny', second.version, { to: 'staging' });
    await own.client.models.promote('tiny', second.version, { to: 'production', reason: 'a test' });
    await expect
      .poll(() => told(assistant, 'hall.lamp', 'model'), waitLong)
      .toMatchObject({ title: 'tiny', installed_version: '1', latest_version: '2', in_progress: false });
    const update = discoveries(assistant).get('hall.lamp')?.components.model_update;
    expect(update).toMatchObject({ platform: 'update', payload_install: 'install' });
    const install = (client: MqttClient, payload = 'install', retain = false) =>
      client.publishAsync(String(update?.command_topic), payload, { qos: 1, retain });
    const rollouts = async () => (await own.client.rollouts.list()).length;

    const { client, who, undo } = await side.refused(own);
    await install(client);
    await expect.poll(denials, waitLong).toContainEqual([who, 'home-assistant install']);
    await undo();
    await install(assistant.client, 'something else');
    await install(assistant.client, 'install', true);
    await install(assistant.client, '', true);
    expect(await rollouts()).toBe(0);

    await install(assistant.client);
    await install(assistant.client);
    await expect.poll(rollouts, waitLong).toBe(1);
    const desired = await device.heard(1);
    expect(desired).toMatchObject({ kind: 'model', name: 'tiny', version: 2 });
    const [rollout] = await own.client.rollouts.list();
    expect(rollout?.by).toMatch(side.who);
    expect(rollout).toMatchObject({ selector: 'name=hall.lamp', policy: { priority: -100 } });
    await device.report('DOWNLOADING', { model: running(first) });
    await expect
      .poll(() => told(assistant, 'hall.lamp', 'model'), waitLong)
      .toMatchObject({ in_progress: true });
    await device.report('COMMITTED', { model: running(second) });
    await expect
      .poll(() => told(assistant, 'hall.lamp', 'model'), waitLong)
      .toMatchObject({ installed_version: '2', latest_version: '2', in_progress: false });
    expect(await rollouts()).toBe(1);
  });

  it('publishes everything again when Home Assistant starts', async () => {
    await expect.poll(() => discoveries(assistant).size, waitLong).toBe(2);
    assistant.heard.splice(0);
    await assistant.client.publishAsync('homeassistant/status', 'online', { qos: 1 });
    const heard = (what: RegExp) => assistant.heard.filter(({ topic }) => what.test(topic)).length;
    await expect.poll(() => heard(/\/config$/), waitLong).toBe(2);
    await expect.poll(() => heard(/hall\.lamp\/state$/), waitLong).toBe(1);
    await expect.poll(() => heard(/\/availability$/), waitLong).toBe(2);
  });

  it('removes a forged announcement, but not the presence of the device to which it refers', async () => {
    const isCellar = ([topic]: [string, string]) => topic.endsWith('_cellar/config');
    const [topic, payload] = [...assistant.now].find(isCellar) ?? ['', ''];
    const forged = topic.replace('_cellar/', '_ghost/');
    await assistant.client.publishAsync(forged, payload, { qos: 1, retain: true });
    const isRemoved = () => assistant.heard.some((one) => one.topic === forged && one.payload === '');
    await expect.poll(isRemoved, waitLong).toBe(true);
    // The presence would be removed right after the announcement.
    await device.client.publishAsync('aiot/v1/hall.lamp/telemetry/motors', '{"t":2,"temperature":23}', {
      qos: 1,
    });
    await expect
      .poll(() => told(assistant, 'hall.lamp', 'state'), waitLong)
      .toMatchObject({ values: { temperature: 23 } });
    expect(told(assistant, 'cellar', 'availability')).toBe('offline');
  });

  it('removes sensors and devices that are gone', async () => {
    assistant.heard.splice(0);
    await provisionDevice({
      client: own.client,
      name: 'attic',
      type: 'virtual',
      out: join(own.folder, 'attic'),
    });
    await expect.poll(() => discoveries(assistant).has('attic'), waitLong).toBe(true);
    await apply({ sensors: [sensorOf('temperature', 'degC')] });
    await expect
      .poll(() => Object.keys(discoveries(assistant).get('attic')?.components ?? {}), waitLong)
      .toEqual(['field_temperature']);
    const attic = assistant.heard.filter(({ topic }) => /attic\/config$/.test(topic));
    // Home Assistant removes a component that it gets without settings.
    expect(
      attic.map(({ payload }) => (JSON.parse(payload) as Discovery).components.field_load).at(-2),
    ).toEqual({
      platform: 'sensor',
    });
    await own.client.devices.act('attic', 'revoke');
    await expect.poll(() => discoveries(assistant).has('attic'), waitLong).toBe(false);
    await expect.poll(() => told(assistant, 'attic', 'availability'), waitLong).toBeUndefined();
    await apply({ selector: 'name=cellar' });
    await expect.poll(() => [...discoveries(assistant).keys()], waitLong).toEqual(['cellar']);
  });

  it('leaves nothing on the broker when it is switched off', async () => {
    expect(await apply(null)).toMatchObject({ change: 'removed', broker: null });
    await expect.poll(() => discoveries(assistant).size, waitLong).toBe(0);
    await expect.poll(() => told(assistant, 'cellar', 'availability'), waitLong).toBeUndefined();
    const isLive = (topic: string) => /\/(state|model|install\/model)$/.test(topic);
    await expect
      .poll(() => [...assistant.now.keys()].filter((topic) => !isLive(topic)), waitLong)
      .toEqual([]);
    const later = await home(await side.connect(own));
    await later.client.publishAsync('aiot/homeassistant/last', 'x', { qos: 1 });
    await expect.poll(() => later.heard.length, waitLong).toBeGreaterThan(0);
    expect(later.heard.map(({ topic }) => topic)).toEqual(['aiot/homeassistant/last']);
    await later.client.endAsync(true);
  });
}
