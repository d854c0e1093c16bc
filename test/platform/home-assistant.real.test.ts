import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect as connectSocket, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  discoveryOf,
  type HomeDevice,
  type HomePlace,
  homeAssistantClasses,
  homeTopics,
  sensorOf,
  stateOf,
  updateOf,
} from '../../src/lib/fleet/home-assistant.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { root } from '../support/cli.js';
import { startFakeProvider } from '../support/fake-provider.js';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { connect } from '../support/mqtt.js';
import { testPlatform } from '../support/platform.js';
import { describeReal, homeAssistantPython } from '../support/real.js';
import { definitionOf, discoveries, home, homeAssistantSuite, waitLong } from './home-assistant-suite.js';

describeReal('mosquitto', 'Home Assistant on a Mosquitto', suiteOnMosquitto);

function suiteOnMosquitto(): void {
  let broker: Mosquitto;
  beforeAll(async () => {
    broker = await startMosquitto();
  });
  afterAll(() => broker.stop());
  const address = () => `mqtt://127.0.0.1:${broker.port}`;
  homeAssistantSuite({
    definition: () => ({ broker: address(), installs: 'home' }),
    async connect(own) {
      await own.client.users.add({ name: 'home', role: 'ci' }).catch(() => {});
      return connect(address(), {});
    },
    async refused(own) {
      await own.client.users.act('home', 'disable');
      const client = await connect(address(), {});
      return {
        client,
        who: 'user home',
        async undo() {
          await client.endAsync(true);
          await own.client.users.act('home', 'enable');
        },
      };
    },
    who: /^user home$/,
  });
}

describeReal('mosquitto', 'Home Assistant and a user of the login provider', () => {
  it('cannot install updates in the name of that user', async () => {
    const [broker, fake] = [await startMosquitto(), await startFakeProvider()];
    const provider = { issuer: fake.issuer, clientId: 'aiot', groupsClaim: 'groups', recheckMs: 60_000 };
    const own = await testPlatform({ provider: { ...provider, roles: { staff: 'ci' } } });
    const address = `mqtt://127.0.0.1:${broker.port}`;
    const client = await connect(address, {});
    try {
      const { login, url } = await own.client.session.start({
        kind: 'browser',
        redirectUri: 'http://127.0.0.1:9/',
      });
      const { searchParams } = new URL(url);
      fake.state.nonce = searchParams.get('nonce') ?? '';
      await own.client.session.finish({ login, response: `code=s-1&state=${searchParams.get('state')}` });
      await provisionDevice({
        client: own.client,
        name: 'lamp',
        type: 'virtual',
        out: join(own.folder, 'lamp'),
      });
      const definition = definitionOf({ broker: address, installs: 'ana' });
      await own.platform.applyHomeAssistant({ project: 'home', definition });
      const assistant = await home(client);
      await expect.poll(() => discoveries(assistant).size, waitLong).toBe(1);
      const status = [...assistant.now.keys()].find((topic) => topic.endsWith('/status')) ?? '';
      const install = status.replace(/status$/, 'devices/lamp/install/model');
      await client.publishAsync(install, 'install', { qos: 1 });
      const denials = async () => {
        const { entries } = await own.client.audit.log({ limit: 1000, type: 'access.deny' });
        return JSON.stringify(entries.filter(({ who }) => who === 'user ana'));
      };
      await expect.poll(denials, waitLong).toContain('logs in through the provider');
    } finally {
      await client.endAsync(true);
      await own.stop();
      await fake.stop();
      await broker.stop();
    }
  }, 60_000);
});

describeReal('mosquitto', 'Home Assistant and a user whose rights are limited to other devices', () => {
  it('cannot install updates in the name of that user', async () => {
    const broker = await startMosquitto();
    const own = await testPlatform();
    const address = `mqtt://127.0.0.1:${broker.port}`;
    const client = await connect(address, {});
    try {
      await own.client.users.add({ name: 'hall3', role: 'ci', selector: 'site=hall-3' });
      const out = join(own.folder, 'lamp');
      await provisionDevice({ client: own.client, name: 'lamp', type: 'virtual', out });
      const definition = definitionOf({ broker: address, installs: 'hall3' });
      await own.platform.applyHomeAssistant({ project: 'home', definition });
      const assistant = await home(client);
      await expect.poll(() => discoveries(assistant).size, waitLong).toBe(1);
      const status = [...assistant.now.keys()].find((topic) => topic.endsWith('/status')) ?? '';
      const install = status.replace(/status$/, 'devices/lamp/install/model');
      await client.publishAsync(install, 'install', { qos: 1 });
      const denials = async () => {
        const { entries } = await own.client.audit.log({ limit: 1000, type: 'access.deny' });
        return JSON.stringify(entries.filter(({ who }) => who === 'user hall3'));
      };
      await expect.poll(denials, waitLong).toContain('beyond the limits of the user');
    } finally {
      await client.endAsync(true);
      await own.stop();
      await broker.stop();
    }
  }, 60_000);
});

describeReal('mosquitto', 'a Mosquitto whose packets arrive together', () => {
  it('can deliver an install command with its acknowledgment of the discovery message', async () => {
    const [broker, own] = [await startMosquitto(), await testPlatform()];
    const slow = await gatherAnswers(broker.port);
    const client = await connect(`mqtt://127.0.0.1:${broker.port}`, {});
    try {
      const out = join(own.folder, 'lamp');
      await provisionDevice({ client: own.client, name: 'lamp', type: 'virtual', out });
      const assistant = await home(client);
      const definition = definitionOf({ broker: `mqtt://127.0.0.1:${slow.port}` });
      await own.platform.applyHomeAssistant({ project: 'home', definition });
      await expect.poll(() => discoveries(assistant).size, waitLong).toBe(1);
      const [status = ''] = [...assistant.now.keys()].filter((topic) => topic.endsWith('/status'));
      await client.publishAsync(status.replace(/status$/, 'devices/lamp/install/model'), 'install', {
        qos: 1,
      });
      const denials = async () => {
        const { entries } = await own.client.audit.log({ limit: 1000, type: 'access.deny' });
        return JSON.stringify(entries.map(({ who }) => who));
      };
      await expect.poll(denials, waitLong).toContain('nobody');
    } finally {
      await client.endAsync(true);
      await own.stop();
      await slow.stop();
      await broker.stop();
    }
  }, 60_000);
});

/** A proxy to a local port that collects everything that the server sends, and delivers it twice a second. */
async function gatherAnswers(port: number): Promise<{ port: number; stop(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connectSocket(port, '127.0.0.1');
    near.pipe(far);
    const gathered: Buffer[] = [];
    far.on('data', (bytes) => gathered.push(bytes));
    const timer = setInterval(() => near.write(Buffer.concat(gathered.splice(0))), 500);
    far.on('close', () => clearInterval(timer));
    for (const [socket, other] of [[near, far] as const, [far, near] as const]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

describeReal('mosquitto', 'a Mosquitto that loses its messages', () => {
  it('gets all of them again, and the devices are unavailable while the platform is offline', async () => {
    const broker = await startMosquitto();
    const own = await testPlatform();
    try {
      await provisionDevice({
        client: own.client,
        name: 'lamp',
        type: 'virtual',
        out: join(own.folder, 'lamp'),
      });
      const definition = definitionOf({ broker: `mqtt://127.0.0.1:${broker.port}` });
      await own.platform.applyHomeAssistant({ project: 'home', definition });
      const connected = async () => home(await connect(`mqtt://127.0.0.1:${broker.port}`, {}));
      const before = await connected();
      await expect.poll(() => discoveries(before).size, waitLong).toBe(1);
      expect(discoveries(before).get('lamp')?.components).not.toHaveProperty('model_update');
      await before.client.endAsync(true);
      await broker.restart({ signal: 'SIGKILL' });
      const after = await connected();
      await expect.poll(() => discoveries(after).size, waitLong).toBe(1);
      const status = () => [...after.now].find(([topic]) => topic.endsWith('/status'))?.[1];
      await expect.poll(status, waitLong).toBe('online');
      await own.platform.stop();
      await expect.poll(status, waitLong).toBe('offline');
      await after.client.endAsync(true);
    } finally {
      await own.stop().catch(() => {});
      await broker.stop();
    }
  }, 60_000);
});

interface Judged {
  components: Record<
    string,
    { platform: string; told: unknown; unit_fits: boolean; state_class_fits: boolean; install: string | null }
  >[];
  warnings: string[];
  units: Record<string, string[]>;
}

function judge(asked: {
  messages: { object_id: string; payload: string }[];
  states: Record<string, string>;
}): Judged {
  const script = join(root, 'test', 'support', 'python', 'home_assistant.py');
  const { stdout, stderr, status } = spawnSync(homeAssistantPython, [script], {
    ...{ input: JSON.stringify(asked), encoding: 'utf8', timeout: 120_000 },
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Judged;
}

describeReal('home-assistant', 'Home Assistant itself', () => {
  const place: HomePlace = {
    ...{
      platform: 'p1',
      prefix: 'homeassistant',
      version: '0.1.0',
      url: 'https://127.0.0.1:8443',
      canInstall: true,
    },
  };
  const release = { name: 'motor', version: 3, sequence: 7, digest: `sha256:${'0'.repeat(64)}` };
  const hostile = '"}} {{ 7 * 7 }} {% raw %} \u0000\n\\ ~ $ “';
  const device: HomeDevice = {
    ...{ name: 'hall.lamp', type: 'esp32', mac: 'AA:BB:CC:DD:EE:FF', answer: 'classes' },
    installable: new Set(['firmware', 'model']),
    reported: {
      state: 'TRIAL',
      kind: 'firmware',
      model: release,
      firmware: { version: hostile, release: null },
    },
  };
  const sensors = [...homeAssistantClasses].flatMap(([deviceClass, units], i) =>
    units.map((unit, j) => sensorOf(`field_${i}_${j}`, unit, deviceClass)),
  );
  // A member with the name of a method of Python's dictionaries.
  sensors.push(sensorOf('items', ''), sensorOf('unseen', 'degC'));
  const definition = definitionOf({ sensors });
  const topics = homeTopics(device.name, place);
  const [, , objectId = ''] = topics.config.split('/');
  const inference = { label: hostile, voted: hostile, scores: [0.25, 0.75], value: null };
  const installable = { title: hostile, installed: hostile, latest: '4' };
  const judged = () =>
    judge({
      messages: [{ object_id: objectId, payload: JSON.stringify(discoveryOf(device, definition, place)) }],
      states: {
        [topics.state]: JSON.stringify(stateOf({ values: { items: 4.5 }, inference }, device)),
        [topics.update('firmware')]: JSON.stringify(
          updateOf('firmware', installable, device.reported, 'no device {{ 7 * 7 }}'),
        ),
        [topics.update('model')]: JSON.stringify(updateOf('model', installable, device.reported, null)),
      },
    });

  it('accepts every entity, with the units and state classes of its device classes', () => {
    const { components, warnings } = judged();
    const [found = {}] = components;
    expect(warnings).toEqual([]);
    expect(Object.keys(found)).toHaveLength(sensors.length + 6);
    expect(Object.entries(found).filter(([, each]) => !each.unit_fits || !each.state_class_fits)).toEqual([]);
  }, 120_000);

  it('reads values and text from devices, without evaluating them', () => {
    const [found = {}] = judged().components;
    const told = (key: string) => found[key]?.told;
    const text = '"}} {{ 7 * 7 }} {% raw %}   \\ ~ $ “';
    expect(told('field_items')).toBe('4.5');
    expect(told('field_unseen')).toBe('');
    expect(told('prediction')).toBe(text);
    expect(told('confidence')).toBe('75');
    expect(told('firmware_version')).toBe(text);
    expect(told('model_version')).toBe('motor@3');
    expect(told('firmware_update')).toEqual({
      ...{ installed_version: text, latest_version: '4', title: text, in_progress: true },
      release_summary: 'Not installed: no device {{ 7 * 7 }}',
    });
    expect(told('model_update')).toMatchObject({ in_progress: false, release_summary: '' });
    expect([found.firmware_update?.install, found.model_update?.install]).toEqual([
      topics.install('firmware'),
      topics.install('model'),
    ]);
  }, 120_000);
});
