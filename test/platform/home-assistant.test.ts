import { join } from 'node:path';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sensorOf } from '../../src/lib/fleet/home-assistant.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { freePort } from '../support/free-port.js';
import { connect } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import {
  definitionOf,
  discoveries,
  type Home,
  home,
  homeAssistantSuite,
  waitLong,
} from './home-assistant-suite.js';

/** Connects with a token as the password. */
async function connectAs(own: TestPlatform, scopes: string[], role: 'ci' | 'viewer' = 'ci') {
  const made = await own.client.tokens.create({ name: 'home assistant', role, scopes });
  const client = await connect(own.platform.urls.mqtts, {
    ...{ ca: own.ca, username: 'home-assistant', password: made.token, rejectUnauthorized: true },
  });
  return { client, id: made.id };
}
const topics = ['stream:homeassistant/#', 'stream:aiot/homeassistant/#'];

describe('Home Assistant on the platform’s broker', () => {
  homeAssistantSuite({
    definition: () => ({}),
    connect: async (own) => (await connectAs(own, [...topics, 'rollouts:write'])).client,
    async refused(own) {
      const { client, id } = await connectAs(own, topics);
      return { client, who: `operator ${id.slice('tok_'.length)}`, undo: () => client.endAsync(true) };
    },
    who: /^operator /,
  });
});

describe('a project’s definition for Home Assistant', () => {
  let own: TestPlatform;
  let assistant: Home;
  beforeAll(async () => {
    // The address must be the same after a restart.
    own = await testPlatform({ httpPort: await freePort() });
    assistant = await home((await connectAs(own, topics)).client);
  });
  afterAll(async () => {
    await assistant.client.endAsync(true);
    await own.stop();
  });
  const apply = (project: string, definition = definitionOf({ project })) =>
    own.platform.applyHomeAssistant({ project, definition });

  it('is recorded, and belongs to one project', async () => {
    expect(await apply('home')).toEqual({ project: 'home', change: 'created', broker: 'own' });
    expect(await apply('home')).toEqual({ project: 'home', change: 'unchanged', broker: 'own' });
    await expect(apply('other')).rejects.toMatchObject({ code: 'AIOT_ALREADY_EXISTS' });
    const off = { project: 'other', definition: null };
    expect(await own.platform.applyHomeAssistant(off)).toMatchObject({ change: 'unchanged' });
    const { entries } = await own.client.audit.log({ limit: 1000, type: 'home-assistant.apply' });
    expect(entries.map(({ who, subject, data }) => ({ who, subject, data }))).toEqual([
      { who: 'platform', subject: 'home', data: { change: 'created', broker: 'own' } },
    ]);
  });

  it('paces the announcement of many devices, and does not repeat it after a restart', async () => {
    const names = Array.from({ length: 120 }, (_, i) => `lamp-${i}`);
    for (const name of names)
      await provisionDevice({ client: own.client, name, type: 'virtual', out: join(own.folder, name) });
    await apply('home', definitionOf({ sensors: [sensorOf('light', 'lx')] }));
    const replaced = () =>
      [...discoveries(assistant).values()].filter(
        ({ components }) => Object.keys(components).join() === 'field_light',
      ).length;
    await expect.poll(replaced, waitLong).toBe(120);
    const arrivals = assistant.heard.filter(({ topic }) => topic.endsWith('/config')).map(({ at }) => at);
    const most = Math.max(
      ...arrivals.map((from) => arrivals.filter((at) => at >= from && at < from + 1000).length),
    );
    expect(most).toBeLessThanOrEqual(60);

    // Each device's state follows its last announcement. After that, nothing more is published.
    const last = (end: string) => assistant.heard.findLastIndex(({ topic }) => topic.endsWith(end));
    const settled = () => names.filter((name) => last(`/${name}/state`) > last(`_${name}/config`)).length;
    await expect.poll(settled, waitLong).toBe(120);
    await assistant.client.endAsync(true);
    // The session gets the states that are published before its client is connected again.
    const { token: password } = await own.client.tokens.create({ name: 'kept', role: 'ci', scopes: topics });
    const session = { ca: own.ca, username: 'home-assistant', password, clientId: 'home', clean: false };
    const before = await home(await connect(own.platform.urls.mqtts, session));
    await before.client.endAsync();
    await own.restart();
    assistant = await home(mqtt.connect(own.platform.urls.mqtts, session));
    const live = (end: string) =>
      assistant.heard.filter(({ topic, retained }) => !retained && topic.endsWith(end)).length;
    await expect.poll(() => live('/state'), waitLong).toBe(120);
    expect([discoveries(assistant).size, live('/config')]).toEqual([120, 0]);
  }, 300_000);
});
