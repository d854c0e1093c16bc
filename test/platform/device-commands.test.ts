import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { listSchemas } from '../../src/lib/api/api.js';
import { type DevicesChanged, devicesChangedSchema } from '../../src/lib/api/change-devices.js';
import type { RegistryClient } from '../../src/lib/api/client.js';
import { clientFor } from '../../src/lib/api/context.js';
import { deviceHistorySchema, deviceTwinSchema } from '../../src/lib/api/contract/devices.js';
import { confirm } from '../../src/lib/cli/questions.js';
import { deviceHistoryText } from '../../src/lib/cli/render/fleet.js';
import { readJson } from '../../src/lib/core/files.js';
import { runCli } from '../support/cli.js';
import { fakeDevice } from '../support/fake-device.js';
import { ok, refusal, type UpForTests, upForTests } from '../support/up.js';

let own: UpForTests;
let client: RegistryClient;
const identity = (name: string) => join(own.folder, name);
const listed = async (selector: string) =>
  (await ok(listSchemas.devices.shape.devices, ['device', 'list', '--selector', selector])).map(
    ({ name }) => name,
  );
const change = (...argv: string[]) => ok(devicesChangedSchema, argv);
const outcomes = ({ devices }: DevicesChanged) => devices.map(({ name, outcome }) => `${name} ${outcome}`);
const connect = async (name: string) => {
  const { urls } = (await readJson(join(identity(name), 'device.json'))) as { urls: { mqtts: string } };
  return fakeDevice(urls.mqtts, identity(name), name);
};

beforeAll(async () => {
  own = await upForTests();
  client = await clientFor();
  for (const name of ['m-1', 'm-2', 'm-3', 'pi-1']) {
    const type = name.startsWith('m') ? 'esp32' : 'pi';
    const claim = join(own.folder, `${name}.json`);
    await runCli(['device', 'claim', name, '--type', type, '--out', claim, '--json']);
    const { code, stdout } = await runCli(['device', 'activate', identity(name), '--claim', claim, '--json']);
    expect(code, stdout).toBe(0);
  }
  await runCli(['device', 'claim', 'young', '--json']);
}, 60_000);
afterAll(async () => {
  await client.close();
  await own.stop();
});

describe('devices matched by a selector', () => {
  it('are listed by their reported values', async () => {
    for (const [name, version] of [
      ['m-1', '1.3.0'],
      ['m-2', '1.10.0'],
    ] as const) {
      const device = await connect(name);
      await device.report('IDLE', { type: 'esp32', firmware: { version } });
      expect((await runCli(['device', 'show', name])).stdout).toMatch(
        /^state +active, online\nlast seen +now$/m,
      );
      await device.client.endAsync();
    }
    expect(await listed('type=esp32 and fw<1.4')).toEqual(['m-1']);
    expect(await listed('type=esp32 and not has fw')).toEqual(['m-3']);
    expect(await listed('state=registered')).toEqual(['young']);
    expect(await listed('type=none')).toEqual([]);
    const { stdout } = await runCli(['device', 'list', '--selector', 'fw<1.4']);
    expect(stdout).toMatch(
      /^name +type +state +last seen +firmware +model +update\nm-1 +esp32 +active +now +1\.3\.0 +– +IDLE\n/,
    );
    expect(await refusal(['device', 'list', '--selector', 'fw<'])).toEqual({
      code: 'AIOT_SELECTOR_INVALID',
      message: 'the selector, column 4: expected a value after <, got the end',
      exit: 2,
    });
  });

  it('are tagged and grouped, and shown with their tags and groups', async () => {
    const dry = await change('device', 'tag', '--selector', 'type=esp32', 'site=lab', 'floor=2', '--dry-run');
    expect([dry.dryRun, outcomes(dry)]).toEqual([true, ['m-1 changed', 'm-2 changed', 'm-3 changed']]);
    expect(await listed('has site')).toEqual([]);
    await change('device', 'tag', '--selector', 'type=esp32', 'site=lab', 'floor=2');
    const again = await change('device', 'tag', '--selector', 'type=esp32 or type=pi', 'site=lab');
    expect([again.changed, outcomes(again).at(-1)]).toEqual([2, 'young changed']);
    await change('device', 'tag', 'm-1', 'floor-', 'room=A 1');
    await change('device', 'group', 'm-1', 'canaries', 'hall');
    await change('device', 'group', '--selector', 'name=m-1', 'hall-');
    expect(await listed('site=lab and floor>=2')).toEqual(['m-2', 'm-3']);
    expect(await listed('group=canaries')).toEqual(['m-1']);
    const { stdout } = await runCli(['device', 'show', 'm-1']);
    expect(stdout).toMatch(/groups +canaries\n/);
    expect(stdout).toMatch(/tags +room="A 1" site=lab\n/);
    const text = await runCli(['device', 'tag', '--selector', 'type=esp32', 'site=hall', '--dry-run']);
    expect(text.stdout).toMatch(/m-2 +esp32 +site=lab +site=hall\n/);
    expect(text.stdout).toContain('3 devices would be tagged.');
    expect(text.stdout).toContain('Next: aiot device tag --selector type=esp32 site=hall');
  });

  it('are suspended only with --yes if there is no terminal', async () => {
    expect(await refusal(['device', 'suspend', '--selector', 'type=esp32'])).toMatchObject({
      code: 'AIOT_USAGE',
      exit: 2,
    });
    expect(await listed('state=suspended')).toEqual([]);
  });

  it('are reported individually if some fail, with exit code 3', async () => {
    const { code, json } = await runCli([
      'device',
      'suspend',
      '--selector',
      'name in (m-3, young)',
      '--yes',
      '--json',
    ]);
    expect(code).toBe(3);
    const result = devicesChangedSchema.parse(json);
    expect([result.changed, result.refused, outcomes(result)]).toEqual([
      1,
      1,
      ['m-3 changed', 'young refused'],
    ]);
    const shown = await runCli(['device', 'resume', '--selector', 'name in (m-3, young)']);
    expect([shown.code, shown.stdout]).toEqual([3, expect.stringContaining('1 device resumed, 1 rejected.')]);
    expect(shown.stdout.split('\n')[1]).toMatch(
      /^young +pi +registered +a device that is registered does not accept the event "resume", only /,
    );
    expect((await runCli(['device', 'resume', '--selector', 'name=young'])).code).toBe(1);
  });

  it.each([
    [['suspend'], 'AIOT_USAGE', 2],
    [['suspend', 'm-1', '--selector', 'all'], 'AIOT_USAGE', 2],
    [['suspend', 'nobody'], 'AIOT_NOT_FOUND', 4],
    [['suspend', '--selector', 'name=nobody', '--yes'], 'AIOT_NOT_FOUND', 4],
    [['resume', 'm-1'], 'AIOT_DEVICE_STATE', 1],
    [['remove', 'm-1'], 'AIOT_DEVICE_STATE', 1],
    [['remove', 'm-1', '--dry-run'], 'AIOT_DEVICE_STATE', 1],
    [['tag'], 'AIOT_USAGE', 2],
    [['tag', 'm-1'], 'AIOT_USAGE', 2],
    [['tag', 'm-1', 'site'], 'AIOT_USAGE', 2],
    [['tag', 'm-1', '1st=x'], 'AIOT_USAGE', 2],
    [['tag', 'm-1', 'site='], 'AIOT_USAGE', 2],
    [['tag', 'm-1', 'site=a\u001b[31m'], 'AIOT_USAGE', 2],
    [['group', 'm-1', 'a b'], 'AIOT_USAGE', 2],
    [['history', 'nobody'], 'AIOT_NOT_FOUND', 4],
  ])('are not affected by the invalid command %j', async (argv, code, exit) => {
    expect(await refusal(['device', ...argv])).toMatchObject({ code, exit });
  });
});

describe('a suspended device', () => {
  it('loses its session, and cannot reconnect until it is resumed', async () => {
    const device = await connect('m-2');
    const closed = new Promise<void>((resolve) => device.client.once('close', () => resolve()));
    await change('device', 'suspend', 'm-2');
    await closed;
    await device.client.endAsync(true);
    await expect(connect('m-2')).rejects.toThrow(/Not authorized/);
    expect((await runCli(['device', 'suspend', 'm-2'])).stdout).toContain('m-2 is unchanged: suspended.');
    await change('device', 'resume', 'm-2');
    const back = await connect('m-2');
    await back.client.endAsync();
    expect((await client.devices.get('m-2')).state).toBe('active');
  });

  it('keeps its full history with the author of each change, even after it is removed', async () => {
    await change('device', 'revoke', '--yes', 'm-2');
    expect((await change('device', 'remove', '--yes', 'm-2')).devices).toMatchObject([
      { outcome: 'changed', after: null },
    ]);
    expect(await refusal(['device', 'show', 'm-2'])).toMatchObject({ code: 'AIOT_NOT_FOUND' });
    const history = await ok(deviceHistorySchema.shape.entries, ['device', 'history', 'm-2']);
    const types = history.map(({ type }) => type.slice('device.'.length)).reverse();
    expect(types.filter((type) => !/connect$/.test(type))).toEqual([
      ...['register', 'claim', 'activate', 'report', 'tag', 'suspend', 'resume', 'revoke', 'remove'],
    ]);
    expect(history.find(({ type }) => type === 'device.report')).toMatchObject({
      who: 'device m-2',
      data: { firmware: '1.10.0' },
    });
    expect(history[0]?.who).toMatch(/^operator/);
    const { stdout } = await runCli(['device', 'history', 'm-2', '--limit', '3']);
    expect(stdout).toMatch(
      /^time \(UTC\) +change +user +details\n\d{4}-\d\d-\d\d \d\d:\d\d +remove +operator/,
    );
    expect(stdout.split('\n')).toHaveLength(7);
  });
});

it('a device’s history is complete if its output is not a terminal, without the noise of binary fractions', () => {
  const data = { error: 'x'.repeat(80), latencyMs: 0.1 + 0.2, t: 1_764_230_000_123 };
  const entry = { id: 1, at: 0, type: 'device.report', who: 'device m-2', data };
  vi.stubEnv('COLUMNS', '');
  expect(deviceHistoryText([entry])).toContain(`error ${'x'.repeat(80)}, latencyMs 0.3, t 1764230000123`);
  vi.stubEnv('COLUMNS', '100');
  expect(deviceHistoryText([entry])).toContain(`error ${'x'.repeat(39)}…`);
});

it('a device’s desired and reported states are read in one request', async () => {
  expect(await client.devices.state('m-1')).toMatchObject({
    desired: null,
    reported: { firmware: { version: '1.3.0' } },
  });
  expect(deviceTwinSchema.parse(await client.devices.state('pi-1'))).toEqual({
    ...{ desired: null, reported: null, lastSeen: null },
  });
});

it('a confirmation on the terminal accepts only y or yes', async () => {
  const signal = new AbortController().signal;
  const ask = (answer: string) => {
    const input = Object.assign(new PassThrough(), { isTTY: true }) as unknown as NodeJS.ReadStream;
    const output = new PassThrough() as unknown as NodeJS.WriteStream;
    (input as unknown as PassThrough).write(`${answer}\n`);
    return confirm('revoke 3 devices?', signal, { input, output });
  };
  expect([await ask('y'), await ask(' Yes'), await ask('n'), await ask('')]).toEqual([
    true,
    true,
    false,
    false,
  ]);
});
