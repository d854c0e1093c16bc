import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readContexts } from '../../src/lib/core/contexts.js';
import type { UpPlatform } from '../../src/lib/platform/up/up.js';
import { endingOrder, type UpProjectOptions, upProject } from '../../src/lib/project/up.js';
import { deliveriesOf } from '../../src/lib/stream/message.js';
import { routeOf } from '../../src/lib/stream/route/load.js';
import { connectBoard } from '../support/board.js';
import { root, runCli } from '../support/cli.js';

let folder: string;
const kit = join(root, 'templates', 'iot-kit');
const before = process.env.AIOT_CONFIG_DIR;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-up-project-'));
  process.env.AIOT_CONFIG_DIR = join(folder, 'config');
});
afterAll(async () => {
  if (before === undefined) delete process.env.AIOT_CONFIG_DIR;
  else process.env.AIOT_CONFIG_DIR = before;
  await rm(folder, { recursive: true, force: true });
});

const lines: string[] = [];
beforeEach(() => void lines.splice(0));
/** Starts a project on free ports. */
function start(project: string, more: Partial<UpProjectOptions> = {}): Promise<UpPlatform> {
  const ports = { host: '127.0.0.1', httpPort: 0, mqttPort: 0, boardPort: 0 };
  const options = { project, data: join(project, 'platform'), newToken: false, set: {}, ...ports, ...more };
  return upProject(options, (line) => void lines.push(line));
}
const boardPort = ({ result }: UpPlatform) => Number(result.urls.boards?.split(':').at(-1));
const textOf = (file: string) => readFile(file, 'utf8').catch(() => '');
async function projectOf(name: string, files: Record<string, string>): Promise<string> {
  const dir = join(folder, name);
  await mkdir(dir);
  for (const [file, text] of Object.entries(files)) await writeFile(join(dir, file), text);
  return dir;
}

describe('the IoT kit', () => {
  let dir: string;
  let running: UpPlatform;
  /** The requests that the BPMN engine has received. */
  const started: { path: string; type: string | undefined; body: unknown }[] = [];
  let engineIsThere = true;
  const engine = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (!engineIsThere) return void response.writeHead(503).end();
      const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
      started.push({ path: request.url ?? '', type: request.headers['content-type'], body });
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"id":"1"}');
    });
  });
  beforeAll(async () => {
    await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve));
    const { port } = engine.address() as AddressInfo;
    dir = join(folder, 'kit');
    await cp(kit, dir, { recursive: true });
    running = await start(dir, { set: { BPMN: `http://127.0.0.1:${port}/start` } });
  });
  afterAll(async () => {
    await running.stop();
    engine.close();
  });

  it('runs five routes on the platform itself', () => {
    expect(running.result.project?.routes.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'mqtt-to-kafka running',
      'mqtt-to-rest running',
      'iot-kafka-alert running',
      'iot-kafka-consumer running',
      'iot-kafka-pipe running',
    ]);
  });

  it('turns board messages into table rows, JSON and process instances', async () => {
    const piped: string[] = [];
    const source = await running.streams.openSource('iot');
    const reading = (async () => {
      for await (const delivery of deliveriesOf(source)) {
        piped.push(Buffer.from(delivery.message.payload).toString());
        delivery.ack();
      }
    })();
    const board = await connectBoard(boardPort(running));
    board.send('iotkit/sensor', '0xBC,26.30,41.0,low');
    board.send('iotkit/button', 'ON');
    board.send('iotkit/alert', 'alert: hall');
    board.send('iotkit/sensor', '0x55,20.00,50.5,high');
    await board.sendAcknowledged('iotkit/rfid', 'AA:BB:CC:DD:');
    await expect.poll(() => started.length).toBe(2);
    await expect.poll(() => piped.length).toBe(5);
    await source.close();
    await reading;
    board.end();

    const rows = 'sensor,temp,hum,class\n0xBC,26.30,41.0,low\n0x55,20.00,50.5,high\n';
    await expect.poll(() => textOf(join(dir, 'data', 'ml-data.csv'))).toBe(rows);
    expect(piped.map((text) => JSON.parse(text))).toEqual([
      { humtemp: { temp: 26.3, hum: 41 } },
      { fields: ['ON'] },
      { fields: ['alert: hall'] },
      { fields: ['0x55', '20.00', '50.5', 'high'] },
      { fields: ['AA:BB:CC:DD:'] },
    ]);
    const json = { path: '/start', type: 'application/json' };
    expect(started).toHaveLength(2);
    expect(started).toContainEqual({
      ...json,
      body: {
        variables: { rnr: { value: '123', type: 'long' }, rbetrag: { value: '200.00', type: 'String' } },
      },
    });
    expect(started).toContainEqual({
      ...json,
      body: { variables: { rnr: { value: 1, type: 'long' }, rbetrag: { value: 100, type: 'String' } } },
    });
  });

  it('keeps alerts while the engine is offline, without delaying readings', async () => {
    started.splice(0);
    engineIsThere = false;
    const board = await connectBoard(boardPort(running));
    await board.sendAcknowledged('iotkit/alert', 'alert: hall');
    await board.sendAcknowledged('iotkit/alert', 'alert: hall');
    await board.sendAcknowledged('iotkit/sensor', '0xBC,30.00,40.0,middle');
    await expect.poll(() => textOf(join(dir, 'data', 'ml-data.csv'))).toContain('0xBC,30.00,40.0,middle');
    expect(started).toEqual([]);
    engineIsThere = true;
    await expect.poll(() => started.length, { timeout: 15_000 }).toBe(4);
    const numbers = started.map(
      ({ body }) => (body as { variables: { rnr: { value: unknown } } }).variables.rnr.value,
    );
    expect(numbers.filter((value) => value !== '123')).toEqual([2, 3]);
    board.end();
  }, 30_000);

  it('forwards commands to the board', async () => {
    const board = await connectBoard(boardPort(running));
    expect(await board.subscribe('iotkit/actors/#')).toBe(0);
    const sink = await running.streams.openSink('iotkit/actors/servo2');
    await sink.write([{ topic: '', payload: Buffer.from('0.5') }]);
    await expect.poll(() => board.received.map(({ payload }) => payload.toString())).toEqual(['0.5']);
    board.end();
  });

  it('stops, resumes with the same files, and loses no acknowledged message', async () => {
    const board = await connectBoard(boardPort(running));
    const sent = Array.from({ length: 200 }, (_, i) =>
      board.sendAcknowledged('iotkit/sensor', `0xBC,${i}.00,1.0,high`).then(
        () => i,
        () => null,
      ),
    );
    await Promise.race(sent);
    await running.stop();
    const acknowledged = (await Promise.all(sent)).filter((i) => i !== null);
    expect(acknowledged.length).toBeGreaterThan(0);
    running = await start(dir);
    const again = await connectBoard(boardPort(running));
    await again.sendAcknowledged('iotkit/sensor', '0xBC,last,1.0,high');
    again.end();
    await expect.poll(() => textOf(join(dir, 'data', 'ml-data.csv'))).toContain('last');
    const table = (await textOf(join(dir, 'data', 'ml-data.csv'))).trimEnd().split('\n');
    for (const i of acknowledged) expect(table).toContain(`0xBC,${i}.00,1.0,high`);
    expect(table.at(-1)).toBe('0xBC,last,1.0,high');
    expect(table.filter((row) => row.startsWith('sensor'))).toHaveLength(1);
  }, 30_000);
});

describe('a project that cannot be started', () => {
  const project = (up: string) => `name: broken\nup:\n${up}`;
  it.each([
    [
      'a listener without a password setting',
      'boards: { publish: [a/#] }',
      'AIOT_PROJECT_INVALID',
      'up.boards.password',
    ],
    [
      'an invalid topic filter',
      "boards: { password: any, publish: ['a/#/b'] }",
      'AIOT_PROJECT_INVALID',
      'publish.0',
    ],
    ['a missing route file', 'routes: none.yaml', 'AIOT_FILE_NOT_FOUND', 'none.yaml'],
    ['an invalid route', 'routes: routes.yaml', 'AIOT_ROUTE_INVALID', 'routes.yaml:3:5'],
    ['a variable without a value', 'routes: open.yaml', 'AIOT_ROUTE_INVALID', 'ABSENT'],
  ])('is rejected before anything is started: %s', async (_, up, code, told) => {
    const dir = await projectOf(`broken-${code}-${told.length}`, {
      'aiot.yaml': project(`  ${up}\n`),
      'routes.yaml': 'routes:\n  a:\n    form: aiot://stream/a\n    to: aiot://stream/b\n',
      'open.yaml': `routes:\n  a:\n    from: \${ABSENT}/a\n    to: aiot://stream/b\n`,
    });
    const contexts = await readContexts();
    const { json, code: exit } = await runCli([
      'up',
      '--project',
      dir,
      '--data',
      join(dir, 'platform'),
      '--json',
    ]);
    const { error } = json as { error: { code: string; message: string } };
    expect(error.code).toBe(code);
    expect(error.message).toContain(told);
    expect(exit).not.toBe(0);
    expect(await readContexts()).toEqual(contexts);
  });

  it.each([
    ['hot: { where: temperature > }', 'alarms.hot.where'],
    ['hot: { where: x > 1, selector: fw< }', 'alarms.hot.selector'],
    ['hot: { absent: 100d }', 'alarms.hot.absent: expected 1s to 90d'],
    ['hot: { absent: 5m, for: 10s }', 'alarms.hot.for: allowed only with `where`'],
  ])('is rejected before anything is started for an invalid alarm: %s', async (alarm, told) => {
    const dir = await projectOf(`alarm-${told.length}`, {
      'aiot.yaml': `name: broken\nalarms:\n  ${alarm}\n`,
    });
    const refused = start(dir);
    await expect(refused).rejects.toMatchObject({ code: 'AIOT_PROJECT_INVALID' });
    await expect(refused).rejects.toThrow(told);
    expect(existsSync(join(dir, 'platform'))).toBe(false);
  });

  it.each([
    ['ops: { url: "ntfys://:hush@ntfy.sh/t" }', 'notify.ops.url: expected a variable'],
    ['pager: { url: "pagerduty://hush@events.pagerduty.com" }', 'notify.pager.url: expected a variable'],
    ['ops: { url: "ntfys://ntfy.sh/t", alarms: [cold] }', 'notify.ops.alarms: expected names under alarms:'],
    ['ops: { url: "ntfys://ntfy.sh/t", after: 8d }', 'notify.ops.after: expected at most 7d'],
  ])('is rejected before anything is started for an invalid target: %s', async (target, told) => {
    const dir = await projectOf(`target-${target.length}`, {
      'aiot.yaml': `name: broken\nalarms:\n  hot: { where: x > 1 }\nnotify:\n  ${target}\n`,
    });
    const refused = start(dir);
    await expect(refused).rejects.toMatchObject({ code: 'AIOT_PROJECT_INVALID' });
    await expect(refused).rejects.toThrow(told);
    await expect(refused).rejects.not.toThrow('hush');
    expect(existsSync(join(dir, 'platform'))).toBe(false);
  });

  it('is rejected for an invalid --set, whose value is not repeated', async () => {
    const { json, code } = await runCli(['up', '--project', kit, '--set', '1x=secret', '--json']);
    expect(code).toBe(2);
    expect(JSON.stringify(json)).not.toContain('secret');
  });

  it('stops the platform again if a route cannot be opened', async () => {
    const dir = await projectOf('unopened', {
      'aiot.yaml': project('  routes: routes.yaml\n'),
      'routes.yaml': 'routes:\n  a:\n    from: file:///nowhere/at/all.ndjson\n    to: aiot://stream/b\n',
    });
    await expect(start(dir)).rejects.toMatchObject({ code: 'AIOT_FILE_NOT_FOUND' });
    await writeFile(join(dir, 'aiot.yaml'), 'name: mended\n');
    await (await start(dir)).stop();
  });
});

describe("a project's alarms", () => {
  it('are created, changed and removed with the file, at each start', async () => {
    const dir = await projectOf('alarmed', {});
    const applied = async (alarms: string) => {
      await writeFile(join(dir, 'aiot.yaml'), `name: oven\n${alarms}`);
      const running = await start(dir);
      await running.stop();
      return running.result.project?.alarms;
    };
    const none = { created: [], changed: [], removed: [], unchanged: [] };
    const both = 'alarms:\n  hot: { where: temperature > 80, for: 10s }\n  mute: { absent: 10m }\n';
    expect(await applied(both)).toMatchObject({ ...none, created: ['hot', 'mute'] });
    expect(await applied('alarms:\n  hot: { where: temperature > 90, for: 10s }\n')).toMatchObject({
      ...none,
      changed: ['hot'],
      removed: ['mute'],
    });
    const targets = { ...none, created: ['phone'] };
    const notify = 'notify:\n  phone: { url: "ntfys://ntfy.sh/t", alarms: [hot], after: 5m }\n';
    const hot = 'alarms:\n  hot: { where: temperature > 90, for: 10s }\n';
    expect(await applied(hot + notify)).toMatchObject({ ...none, unchanged: ['hot'], targets });
    expect(await applied(hot + notify.replace('5m', '6m'))).toMatchObject({
      ...none,
      unchanged: ['hot'],
      targets: { ...none, changed: ['phone'] },
    });
    expect(await applied('')).toMatchObject({
      ...none,
      removed: ['hot'],
      targets: { ...none, removed: ['phone'] },
    });
  });
});

describe('the shutdown order of routes', () => {
  const route = (name: string, from: string, to: string, topic?: string) =>
    routeOf(name, { from, to, ...(topic ? { topic } : {}) });
  const exactly = (filter: string, topic: string) => filter === topic;
  const names = (stages: { name: string }[][]) => stages.map((stage) => stage.map(({ name }) => name));
  it.each([
    [
      'a chain',
      [
        route('c', 'aiot://stream/2', 'file:///c.ndjson'),
        route('a', 'aiot://stream/1', 'aiot://stream/2'),
        route('b', 'aiot://stream/2', 'aiot://stream/3'),
      ],
      [['a'], ['c', 'b']],
    ],
    [
      'a cycle',
      [route('a', 'aiot://stream/1', 'aiot://stream/2'), route('b', 'aiot://stream/2', 'aiot://stream/1')],
      [['a', 'b']],
    ],
    [
      'a topic taken from the message',
      [
        route('b', 'aiot://stream/any', 'file:///b.ndjson'),
        route('a', 'mqtt://h/1', 'aiot://stream/x', '$topic'),
      ],
      [['a'], ['b']],
    ],
  ])('follows the messages: %s', (_, routes, stages) => {
    expect(names(endingOrder(routes, exactly))).toEqual(stages);
  });
});
