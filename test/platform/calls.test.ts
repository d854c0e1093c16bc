import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MqttClient } from 'mqtt';
import { request } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { callDevices, devicesCalledSchema } from '../../src/lib/api/call-devices.js';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import {
  commandsAppliedSchema,
  commandsSchema,
  type DeviceCall,
  deviceReplySchema,
  type NewCommand,
} from '../../src/lib/api/contract/commands.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { AiotError } from '../../src/lib/core/errors.js';
import { httpAgent } from '../../src/lib/core/http-agent.js';
import { simulateDevice } from '../../src/lib/device/simulate.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { runCli } from '../support/cli.js';
import { freePort } from '../support/free-port.js';
import { connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ok, refusal } from '../support/up.js';

let own: TestPlatform;
const online: MqttClient[] = [];

beforeAll(async () => {
  // The addresses must be the same after a restart.
  own = await testPlatform({ httpPort: await freePort(), mqttPort: await freePort() });
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
  await choose(own.token);
  for (const name of ['pump-1', 'pump-2', 'pump-3'])
    await provisionDevice({ client: own.client, name, type: 'pump', out: join(own.folder, name) });
});
afterAll(async () => {
  await Promise.all(online.map((device) => device.endAsync(true)));
  await own.stop();
});

/** The commands use this platform with this token. */
const choose = (token: string) =>
  writeContexts({
    current: 'lab',
    contexts: { lab: { url: own.platform.urls.http, ca: own.platform.ca, token } },
  });

interface Sent {
  id: string;
  command: string;
  args?: Record<string, unknown>;
  expires: number;
}

/** Connects a device that answers each command; null = no reply. Returns the commands that arrive. */
async function connectPump(name: string, answer: (sent: Sent) => object | null | Promise<object | null>) {
  const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, name));
  online.push(device);
  const sent: Sent[] = [];
  device.on('message', async (_topic, payload) => {
    const command = JSON.parse(payload.toString()) as Sent;
    sent.push(command);
    const reply = await answer(command);
    if (reply)
      await device.publishAsync(
        `aiot/v1/${name}/reply`,
        JSON.stringify({ id: command.id, t: Date.now(), ...reply }),
        { qos: 1 },
      );
  });
  await device.subscribeAsync(`aiot/v1/${name}/command`, { qos: 1 });
  await expect.poll(async () => (await own.client.devices.get(name)).online).toBe(true);
  return { sent, device };
}

const speed = { type: 'object', properties: { rpm: { type: 'integer', minimum: 0, maximum: 3000 } } };
const setSpeed: NewCommand = {
  ...{ type: 'pump', name: 'set-speed' },
  params: {
    ...{ ...speed, required: ['rpm'], additionalProperties: false },
    properties: { ...speed.properties, pin: { type: 'string', pattern: '^[0-9]{4}$', writeOnly: true } },
  },
  reply: { ...speed, required: ['rpm'] },
};
const apply = (...commands: NewCommand[]) => own.client.commands.apply({ project: 'pumps', commands });
const call = (name: string, asked: DeviceCall, limitMs = 10_000) =>
  own.client.commands.call(name, asked, { limitMs });
const set = (rpm: unknown, more: Partial<DeviceCall> = {}): DeviceCall => ({
  ...{ command: 'set-speed', params: { rpm } },
  ...more,
});
const codeOf = (answer: Promise<unknown>) =>
  answer.then(
    () => null,
    (error: { code?: string }) => error.code,
  );
const rpmOf = ({ args }: Sent) => ({ ok: true, result: { rpm: args?.rpm } });
const eventsOf = async (name: string, type: 'device.call' | 'device.call-ended') =>
  (await own.client.events.page({ types: [type], subject: name, limit: 100 })).events;

describe('the commands in aiot.yaml', () => {
  const project = () => join(own.folder, 'pumps');
  const write = async (commands: string) => {
    await mkdir(project(), { recursive: true });
    await writeFile(join(project(), 'aiot.yaml'), `name: pumps\ncommands:\n${commands}`);
  };
  const applied = ['device', 'commands', 'apply', '--project'];

  it('become those of the platform, until they are changed or removed', async () => {
    await write('  pump:\n    start: { summary: Start the pump., timeout: 5s }\n    stop: {}\n');
    const none = { changed: [], removed: [], unchanged: [], project: 'pumps' };
    const created = ['pump/start', 'pump/stop'];
    expect(await ok(commandsAppliedSchema, [...applied, project(), '--dry-run'])).toEqual({
      ...{ ...none, created, dryRun: true },
    });
    expect(await own.client.commands.list()).toEqual([]);
    expect((await runCli([...applied, project()])).stdout).toContain('pump/start, pump/stop');
    await write('  pump:\n    start: { timeout: 6s }\n    drain: { role: viewer }\n');
    expect(await ok(commandsAppliedSchema, [...applied, project()])).toEqual({
      ...{ ...none, dryRun: false, created: ['pump/drain'] },
      ...{ changed: ['pump/start'], removed: ['pump/stop'] },
    });
    const all = await ok(commandsSchema.shape.commands, ['device', 'commands', 'list']);
    expect(all.map(({ name, timeoutMs, role }) => [name, timeoutMs, role])).toEqual([
      ['drain', 10_000, 'viewer'],
      ['start', 6000, 'operator'],
    ]);
    const { stdout } = await runCli(['device', 'commands', 'list', 'pump-1']);
    expect(stdout).toMatch(/ping +all[\s\S]*reboot +all[\s\S]*drain +pump +viewer +10s/);
  });

  it.each([
    ['a: { params: { type: object, properties: 7 } }', 'AIOT_COMMAND_SCHEMA', 'pump/a: params: '],
    ['a: { params: { type: object, propertys: {} } }', 'AIOT_COMMAND_SCHEMA', 'unknown keyword: "propertys"'],
    ['a: { params: { type: object, $ref: "http://x/y" } }', 'AIOT_COMMAND_SCHEMA', "can't resolve reference"],
    ['a: { params: { type: array } }', 'AIOT_PROJECT_INVALID', 'commands.pump.a.params'],
    ['a: { timeout: 2h }', 'AIOT_PROJECT_INVALID', 'commands.pump.a.timeout: expected 1s to 5m, got 2h'],
    ['a: { run: [./a], simulate: "{}" }', 'AIOT_PROJECT_INVALID', 'expected either run or simulate'],
    ['A B: {}', 'AIOT_PROJECT_INVALID', 'expected lowercase letters'],
    ['ping: {}', 'AIOT_PROJECT_INVALID', 'every device has a command of this name'],
  ])('are rejected if they are invalid: %s', async (yaml, code, message) => {
    await write(`  pump:\n    ${yaml}\n`);
    const error = await refusal([...applied, project()]);
    expect(error).toMatchObject({ code, exit: 2 });
    expect(error.message).toContain(message);
  });

  it('of another project are kept', async () => {
    const other = own.client.commands.apply({
      project: 'others',
      commands: [{ type: 'pump', name: 'drain' }],
    });
    await expect(other).rejects.toMatchObject({
      ...{
        code: 'AIOT_ALREADY_EXISTS',
        message: 'the command pump/drain is already defined by the project pumps',
      },
    });
    await own.client.commands.apply({ project: 'others', commands: [{ type: 'fan', name: 'drain' }] });
    expect(await own.client.commands.list()).toHaveLength(3);
  });
});

describe('a call', () => {
  beforeEach(() => apply(setSpeed, { type: 'pump', name: 'look', role: 'viewer', repeatable: true }));

  it('sends valid parameters, and returns a valid reply', async () => {
    const { sent } = await connectPump('pump-1', rpmOf);
    const words = ['device', 'call', 'pump-1', 'set-speed', '--param', 'rpm=900', '--param', 'pin=0815'];
    expect(await ok(deviceReplySchema, words)).toMatchObject({ device: 'pump-1', result: { rpm: 900 } });
    expect(sent).toMatchObject([{ command: 'set-speed', args: { rpm: 900, pin: '0815' } }]);
    expect(await eventsOf('pump-1', 'device.call')).toMatchObject([
      {
        who: expect.stringContaining('operator'),
        data: { command: 'set-speed', params: { rpm: 900, pin: '***' } },
      },
    ]);
    await expect
      .poll(() => eventsOf('pump-1', 'device.call-ended'))
      .toMatchObject([{ data: { call: sent[0]?.id, ok: true, code: null } }]);
    expect((await runCli(words.slice(0, 6))).stdout).toMatch(
      /pump-1 replied to set-speed in \d+ ms\nrpm 900/,
    );
  });

  it.each([
    { params: { rpm: 9000 }, message: 'set-speed: params.rpm: must be <= 3000, got 9000' },
    { params: { rpm: '9' }, message: 'set-speed: params.rpm: must be integer, got "9"' },
    { params: {}, message: "set-speed: params: must have required property 'rpm'" },
    { params: { rpm: 1, x: 2 }, message: 'set-speed: params: must NOT have additional properties: x' },
    {
      params: { rpm: 1, pin: 'secret' },
      message: 'set-speed: params.pin: must match pattern "^[0-9]{4}$", got "***"',
    },
    {
      params: { rpm: 1, pin: '0'.repeat(3000) },
      message: 'set-speed: params: expected at most 2048 bytes, got 3018',
    },
  ])('with invalid parameters is rejected before anything is sent: $message', async ({ params, message }) => {
    const before = await eventsOf('pump-1', 'device.call');
    const rejected = call('pump-1', { command: 'set-speed', params });
    await expect(rejected).rejects.toMatchObject({ code: 'AIOT_COMMAND_PARAMS', message });
    expect(await eventsOf('pump-1', 'device.call')).toEqual(before);
  });

  it('fails with the error that the device reports, or with an invalid or too long reply', async () => {
    const replies = [
      { ok: false, error: { code: 'AIOT_COMMAND_FAILED', message: 'the valve is stuck' } },
      { ok: true, result: { rpm: 'fast' } },
      { ok: true, result: { rpm: 1, more: 'x'.repeat(16_976) } },
    ];
    await connectPump('pump-2', () => replies.shift() ?? null);
    const failed = (code: string, message: string) =>
      expect(call('pump-2', set(1))).rejects.toMatchObject({ code, message });
    await failed('AIOT_COMMAND_FAILED', 'pump-2: AIOT_COMMAND_FAILED the valve is stuck');
    await failed(
      'AIOT_COMMAND_REPLY',
      'pump-2 ran set-speed, but its reply is invalid.rpm: must be integer, got "fast"',
    );
    await failed(
      'AIOT_COMMAND_REPLY',
      'pump-2 ran set-speed, but its reply is invalid: expected at most 16384 bytes, got 16995',
    );
    expect((await eventsOf('pump-2', 'device.call-ended')).map(({ data }) => data.code)).toEqual([
      ...['AIOT_COMMAND_FAILED', 'AIOT_COMMAND_REPLY', 'AIOT_COMMAND_REPLY'],
    ]);
  });

  it('needs the role of its command', async () => {
    await own.client.users.add({ name: 'watcher', role: 'viewer' });
    const { token } = await own.client.tokens.create({ name: 'w', owner: 'watcher' });
    const viewer = createClient({ url: own.platform.urls.http, ca: own.ca, token });
    try {
      const denied = viewer.commands.call('pump-1', set(1), { limitMs: 5000 });
      await expect(denied).rejects.toMatchObject({
        ...{ code: 'AIOT_NOT_ALLOWED' },
        message: 'set-speed requires the role operator; this token has the role viewer',
      });
      await expect(
        viewer.commands.call('pump-1', { command: 'reboot' }, { limitMs: 5000 }),
      ).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
      const looked = await viewer.commands.call('pump-1', { command: 'look' }, { limitMs: 5000 });
      expect(looked.device).toBe('pump-1');
      await expect
        .poll(async () => (await own.client.audit.log({ type: 'access.deny' })).entries)
        .toContainEqual(expect.objectContaining({ who: expect.stringContaining('watcher') }));
    } finally {
      await viewer.close();
    }
  });

  it('on a selector shows each device’s outcome', async () => {
    const words = ['device', 'call', 'set-speed', '--selector', 'type=pump', '--param', 'rpm=5'];
    const { json, code } = await runCli([...words, '--json']);
    expect(code).toBe(3);
    const { devices, ...sums } = devicesCalledSchema.parse(json);
    expect(sums).toEqual({
      command: 'set-speed',
      selector: 'type=pump',
      matched: 3,
      succeeded: 1,
      failed: 2,
    });
    expect(devices).toMatchObject([
      { device: 'pump-1', result: { rpm: 5 }, error: null },
      { device: 'pump-2', error: { code: 'AIOT_COMMAND_UNANSWERED' }, ms: null },
      { device: 'pump-3', error: { code: 'AIOT_DEVICE_OFFLINE' } },
    ]);
    expect((await runCli(words)).stdout).toMatch(/1 of 3 devices ran set-speed, 2 failed/);
    expect(await refusal(['device', 'call', 'pump-1', 'ping', '--selector', 'all'])).toMatchObject({
      ...{ code: 'AIOT_USAGE', exit: 2 },
    });
    expect(await refusal(['device', 'call', 'pump-1', 'ping', '--param', 'x'])).toMatchObject({
      message: 'expected --param NAME=VALUE, got x',
    });
  }, 60_000);

  it('to an offline device is rejected, or waits until it is online or its timeout', async () => {
    expect(await codeOf(call('pump-3', set(1)))).toBe('AIOT_DEVICE_OFFLINE');
    await expect(call('pump-3', set(1, { offline: 'wait', timeoutMs: 1000 }))).rejects.toMatchObject({
      ...{ code: 'AIOT_DEVICE_OFFLINE', message: 'pump-3 was not online within 1s: nothing was sent' },
    });
    const waiting = call('pump-3', set(7, { offline: 'wait', timeoutMs: 20_000 }), 20_000);
    await delay(300);
    const { sent, device } = await connectPump('pump-3', rpmOf);
    expect((await waiting).result).toEqual({ rpm: 7 });
    expect(sent).toHaveLength(1);
    await device.endAsync();
  }, 40_000);
});

describe('a fault during a call', () => {
  beforeEach(() =>
    apply({ ...setSpeed, timeoutMs: 3000 }, { ...setSpeed, name: 'measure', repeatable: true }),
  );

  /** Sends the request as any HTTP client would, with an Idempotency-Key. */
  async function post(name: string, asked: DeviceCall, key: string, signal?: AbortSignal) {
    const agent = await httpAgent({ connect: { ca: own.ca } });
    try {
      const { statusCode, body } = await request(
        `${own.platform.urls.http}/api/v1/devices/${name}/commands`,
        {
          ...{ method: 'POST', dispatcher: agent, body: JSON.stringify(asked), ...(signal && { signal }) },
          headers: {
            ...{ authorization: `Bearer ${own.token}`, 'content-type': 'application/json' },
            'idempotency-key': key,
          },
        },
      );
      return { status: statusCode, answer: (await body.json()) as Record<string, unknown> };
    } finally {
      await agent.destroy();
    }
  }

  it('the same key twice, even at the same time, is one call', async () => {
    const { sent, device } = await connectPump('pump-3', async (command) => {
      await delay(300);
      return rpmOf(command);
    });
    const [first, second] = await Promise.all([post('pump-3', set(4), 'k1'), post('pump-3', set(4), 'k1')]);
    const third = await post('pump-3', set(4), 'k1');
    for (const { status, answer } of [first, second, third])
      expect([status, answer.result]).toEqual([200, { rpm: 4 }]);
    expect(sent).toHaveLength(1);
    expect(await post('pump-3', set(5), 'k1')).toMatchObject({
      ...{ status: 422, answer: { code: 'AIOT_IDEMPOTENCY_REUSED' } },
    });
    await device.endAsync();
  });

  it('at most 16 calls wait for a device, and a further one is rejected', async () => {
    const { device } = await connectPump('pump-3', () => null);
    const asked = (i: number) => post('pump-3', set(i, { timeoutMs: 8000 }), `many-${i}`);
    const answers = await Promise.all(Array.from({ length: 17 }, (_, i) => asked(i)));
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([429, ...Array.from({ length: 16 }, () => 504)]);
    await device.endAsync();
  }, 30_000);

  it('a device that dies before its reply: the call ends as unanswered, and is not sent again', async () => {
    const first = await connectPump('pump-3', () => null);
    const called = codeOf(call('pump-3', set(2)));
    await expect.poll(() => first.sent.length).toBe(1);
    await first.device.endAsync(true);
    const second = await connectPump('pump-3', rpmOf);
    expect(await called).toBe('AIOT_COMMAND_UNANSWERED');
    expect(second.sent).toEqual([]);
    expect((await eventsOf('pump-3', 'device.call-ended')).at(-1)?.data).toMatchObject({
      ...{ ok: false, code: 'AIOT_COMMAND_UNANSWERED' },
    });
    await second.device.endAsync();
  }, 20_000);

  it('a device that dies before its reply runs a repeatable command again, under the same id', async () => {
    const first = await connectPump('pump-3', () => null);
    const called = call('pump-3', set(2, { command: 'measure' }));
    await expect.poll(() => first.sent.length).toBe(1);
    await first.device.endAsync(true);
    const second = await connectPump('pump-3', rpmOf);
    expect((await called).result).toEqual({ rpm: 2 });
    expect(second.sent[0]?.id).toBe(first.sent[0]?.id);
    await second.device.endAsync();
  }, 20_000);

  it('a caller that loses the reply gets it by repeating the request, even after a restart', async () => {
    const { sent, device } = await connectPump('pump-3', async (command) => {
      await delay(500);
      return rpmOf(command);
    });
    const lost = new AbortController();
    const first = post('pump-3', set(6), 'k2', lost.signal).catch(() => 'lost');
    await expect.poll(() => sent.length).toBe(1);
    lost.abort();
    expect(await first).toBe('lost');
    await expect
      .poll(
        async () => (await own.client.devices.messages('pump-3', { channel: 'reply' })).at(-1)?.payload.id,
      )
      .toBe(sent[0]?.id);
    await device.endAsync();
    await own.restart();
    expect(await post('pump-3', set(6), 'k2')).toMatchObject({ status: 200, answer: { result: { rpm: 6 } } });
    expect(sent).toHaveLength(1);
  }, 30_000);

  it('a platform that restarts while a device works still gives the reply to the waiting client', async () => {
    await apply({ ...setSpeed, timeoutMs: 30_000 });
    const client = createClient({ url: own.platform.urls.http, ca: own.ca, token: own.token });
    const { sent, device } = await connectPump('pump-3', () => null);
    const called = client.commands.call('pump-3', set(8), { limitMs: 30_000 });
    called.catch(() => {});
    await expect.poll(() => sent.length).toBe(1);
    await own.restart({ drainMs: 100 });
    await device.endAsync(true);
    const again = await connectPump('pump-3', rpmOf);
    // A device keeps its reply until the broker acknowledges it.
    await again.device.publishAsync(
      'aiot/v1/pump-3/reply',
      JSON.stringify({ id: sent[0]?.id, t: Date.now(), ok: true, result: { rpm: 8 } }),
      { qos: 1 },
    );
    expect((await called).result).toEqual({ rpm: 8 });
    expect(again.sent).toEqual([]);
    await client.close();
    await again.device.endAsync();
  }, 60_000);
});

describe('a platform that stops while several devices are called', () => {
  beforeEach(() => apply({ ...setSpeed, timeoutMs: 3000 }));

  it('is awaited for devices that were not called yet, and for no longer than the timeout', async () => {
    const client = createClient({ url: own.platform.urls.http, ca: own.ca, token: own.token });
    await own.client.close();
    await own.platform.stop();
    const waiting = client.commands.call('pump-3', set(3), { limitMs: 30_000, persists: true });
    waiting.catch(() => {});
    const refused = (persists: boolean) =>
      codeOf(client.commands.call('pump-3', set(3), { limitMs: 600, persists }));
    expect([await refused(false), await refused(true)]).toEqual([
      ...['AIOT_PLATFORM_UNREACHABLE', 'AIOT_PLATFORM_UNREACHABLE'],
    ]);
    await own.start({ drainMs: 100 });
    // The device is offline, so this is an answer of the platform.
    expect(await codeOf(waiting)).toBe('AIOT_DEVICE_OFFLINE');
    await client.close();
  }, 60_000);

  it('and does not return: a call that was sent ends as unanswered, because the device may have run it', async () => {
    const client = createClient({ url: own.platform.urls.http, ca: own.ca, token: own.token });
    const { sent, device } = await connectPump('pump-3', () => null);
    const called = client.commands.call('pump-3', set(3), { limitMs: 600 });
    called.catch(() => {});
    await expect.poll(() => sent.length).toBe(1);
    await own.client.close();
    await own.platform.stop();
    await expect(called).rejects.toMatchObject({
      code: 'AIOT_COMMAND_UNANSWERED',
      message: 'the connection to the platform was lost during set-speed; pump-3 may have run the command',
    });
    await device.endAsync(true);
    await own.start();
    await client.close();
  }, 60_000);

  const selection = (
    answer: (name: string) => Promise<{ device: string; command: string; result: null; ms: number }>,
  ) =>
    callDevices({
      ...{ target: { selector: 'all' }, command: 'start', params: [], waits: false },
      client: {
        devices: {
          list: async () => Array.from({ length: 12 }, (_, i) => ({ name: `d${i + 10}`, type: 'x' })),
        },
        commands: { of: async () => [], call: answer },
      } as unknown as RegistryClient,
    });
  const gone = new AiotError('AIOT_PLATFORM_UNREACHABLE', 'connection refused');

  it('leaves the outcomes of the others in the result, and does not call the rest', async () => {
    const called: string[] = [];
    const result = await selection(async (device) => {
      called.push(device);
      if (device !== 'd10') throw gone;
      await delay(20);
      return { device, command: 'start', result: null, ms: 1 };
    });
    expect(called).toHaveLength(8);
    if (!('devices' in result)) throw new Error('expected the outcomes of several devices');
    expect(result).toMatchObject({ matched: 12, succeeded: 1, failed: 11 });
    expect(result.devices.map(({ device, error }) => [device, error?.code])).toEqual([
      ['d10', undefined],
      ...Array.from({ length: 11 }, (_, i) => [`d${i + 11}`, 'AIOT_PLATFORM_UNREACHABLE']),
    ]);
  });

  it('fails as a whole if no device was called', async () => {
    await expect(selection(() => Promise.reject(gone))).rejects.toBe(gone);
  });
});

describe('a virtual device', () => {
  it('runs the commands of its project: a program, or an expression', async () => {
    const project = join(own.folder, 'site');
    await mkdir(project);
    await writeFile(
      join(project, 'aiot.yaml'),
      `name: site
commands:
  boiler:
    heat:
      params: { type: object, properties: { to: { type: number } }, required: [to] }
      run: [./heat.sh]
    level: { simulate: '{"litres": 40 + 2}' }
    weigh: {}
`,
    );
    const script =
      '#!/bin/sh\nread line\ncase $line in *90*) echo too hot >&2; exit 3;; esac\necho "{\\"got\\": $line}"\n';
    await writeFile(join(project, 'heat.sh'), script, { mode: 0o755 });
    await choose(own.token);
    await ok(commandsAppliedSchema, ['device', 'commands', 'apply', '--project', project]);
    const out = join(own.folder, 'boiler-1');
    await provisionDevice({ client: own.client, name: 'boiler-1', type: 'boiler', out });
    const stop = new AbortController();
    const running = simulateDevice({
      ...{ identityDir: out, project, speed: 1, predict: false, loop: false, seed: 1 },
      ...{ signal: stop.signal, onEvent: () => {} },
    });
    try {
      await expect
        .poll(async () => (await own.client.devices.get('boiler-1')).online, { timeout: 10_000 })
        .toBe(true);
      const run = (command: string, ...params: string[]) => [
        ...['device', 'call', 'boiler-1', command],
        ...params.flatMap((param) => ['--param', param]),
      ];
      expect((await ok(deviceReplySchema, run('heat', 'to=60'))).result).toEqual({ got: { to: 60 } });
      expect((await refusal(run('heat', 'to=90'))).message).toBe(
        'boiler-1: AIOT_COMMAND_FAILED ./heat.sh ended with 3: too hot',
      );
      expect((await ok(deviceReplySchema, run('level'))).result).toEqual({ litres: 42 });
      expect((await refusal(run('weigh'))).message).toContain('AIOT_COMMAND_UNKNOWN');
      expect(await ok(deviceReplySchema, run('reboot'))).toMatchObject({ command: 'reboot' });
    } finally {
      stop.abort();
      await running;
    }
  }, 60_000);
});
