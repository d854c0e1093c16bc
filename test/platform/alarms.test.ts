import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectAlarmsAppliedSchema } from '../../src/lib/api/contract/alarm-targets.js';
import {
  alarmSchema,
  alarmShownSchema,
  alarmsSchema,
  alarmTestSchema,
} from '../../src/lib/api/contract/alarms.js';
import { writeContexts } from '../../src/lib/core/contexts.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { pushTiny } from '../support/bundle.js';
import { runCli } from '../support/cli.js';
import { connectDevice } from '../support/mqtt.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { ok, refusal } from '../support/up.js';

let own: TestPlatform;
const devices = ['motor-1', 'motor-2'];

/** The commands use this platform, also after a restart on other ports. */
async function choose() {
  process.env.AIOT_CONFIG_DIR = join(own.folder, 'config');
  await writeContexts({
    current: 'lab',
    contexts: { lab: { url: own.platform.urls.http, ca: own.platform.ca, token: own.token } },
  });
}

beforeAll(async () => {
  own = await testPlatform();
  await choose();
  for (const name of devices)
    await provisionDevice({ client: own.client, name, type: 'esp32', out: join(own.folder, name) });
});
afterAll(() => own.stop());

const start = Date.now() - 3600_000;

/** Sends one sample per second, from a second after `start`. */
async function send(name: string, second: number, temperatures: readonly number[]) {
  const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, name));
  for (const [i, temperature] of temperatures.entries()) {
    const payload = JSON.stringify({ t: start + (second + i) * 1000, temperature });
    await device.publishAsync(`aiot/v1/${name}/telemetry/motors`, payload, { qos: 1 });
  }
  await device.endAsync();
}

const raised = async () => (await own.client.events.page({ types: ['alarm.raise'], limit: 100 })).events;
const repeat = (value: number, count: number) => Array.from({ length: count }, () => value);

describe('aiot alarm', () => {
  it('rejects an invalid expression or selector, and a name that is taken', async () => {
    const create = ['alarm', 'create', '--name', 'hot'];
    expect(await refusal([...create, '--where', 'temperature >'])).toMatchObject({
      code: 'AIOT_STREAM_EXPRESSION',
    });
    expect(await refusal([...create, '--absent', '1m', '--selector', 'fw<'])).toMatchObject({
      code: 'AIOT_SELECTOR_INVALID',
    });
    const alarm = await ok(alarmSchema, [
      ...[...create, '--where', 'temperature > 80', '--for', '10s', '--stream', 'motors'],
      ...['--clear', 'temperature < 75', '--severity', 'critical', '--todo', 'Check the fan.'],
    ]);
    expect(alarm).toMatchObject({ name: 'hot', forMs: 10_000, severity: 'critical', open: 0 });
    expect(await refusal([...create, '--where', 'x > 1'])).toMatchObject({ code: 'AIOT_ALREADY_EXISTS' });
    const windows = ['--maintenance', 'sat 02:00-04:00', '--maintenance', 'daily 3-4'];
    expect(await refusal([...create, '--where', 'x > 1', ...windows])).toMatchObject({
      ...{
        code: 'AIOT_REQUEST_INVALID',
        message: expect.stringContaining('expected days and times, such as'),
      },
    });
    expect(await refusal(['alarm', 'show', 'cold'])).toMatchObject({ code: 'AIOT_NOT_FOUND', exit: 4 });
  });

  it('raises one incident although the platform restarts while the condition holds', async () => {
    await send('motor-1', 0, [70, ...repeat(90, 5)]);
    await send('motor-2', 0, repeat(79, 20));
    await own.restart();
    await choose();
    expect(await raised()).toEqual([]);
    await send('motor-1', 6, repeat(91, 10));
    await expect.poll(raised, { timeout: 10_000 }).toHaveLength(1);
    await own.restart();
    await choose();
    await send('motor-1', 16, repeat(92, 5));
    await send('motor-1', 21, [78, 70]);
    await expect
      .poll(async () => (await own.client.alarms.get('hot')).incidents, { timeout: 10_000 })
      .toMatchObject([
        {
          ...{ device: 'motor-1', since: start + 1000, raised: start + 11_000, cleared: start + 22_000 },
          ...{ message: 'temperature > 80 for 10s: temperature=91', notified: true },
        },
      ]);
    expect(await raised()).toMatchObject([
      { subject: 'hot', data: { device: 'motor-1', severity: 'critical', next: 'Check the fan.' } },
    ]);
    const { incidents } = await ok(alarmShownSchema, ['alarm', 'show', 'hot']);
    expect(incidents[0]?.samples.map(({ values }) => values.temperature)).toEqual([
      ...repeat(90, 5),
      ...repeat(91, 6),
    ]);
  });

  it('replays recorded telemetry and finds the same incident', async () => {
    const { fired, samples } = await ok(alarmTestSchema, ['alarm', 'test', 'hot', '--since', '2h']);
    expect(samples).toBe(43);
    expect(fired).toMatchObject([{ device: 'motor-1', raised: start + 11_000, cleared: start + 22_000 }]);
    // The clocks of these devices are an hour behind, and their messages arrived within the last few minutes.
    expect(await ok(alarmTestSchema, ['alarm', 'test', 'hot', '--since', '30m'])).toMatchObject({
      ...{ samples: 43, fired: [{ device: 'motor-1' }] },
    });
    expect((await runCli(['alarm', 'test', 'hot'])).stdout).toContain('hot would have fired 1 time.');
  });

  it('records incidents during a silence, and reports those that are still open when it ends', async () => {
    await ok(alarmSchema, ['alarm', 'silence', 'hot', '--for', '1h', '--note', 'oven test']);
    await send('motor-2', 40, repeat(95, 12));
    await expect
      .poll(async () => (await own.client.alarms.get('hot')).alarm.open, { timeout: 10_000 })
      .toBe(1);
    expect(await raised()).toHaveLength(1);
    await ok(alarmSchema, ['alarm', 'silence', 'hot', '--for', '0s']);
    await expect.poll(raised, { timeout: 10_000 }).toHaveLength(2);
    const acked = ['alarm', 'ack', 'hot', '--selector', 'motor-2,motor-3', '--note', 'on my way'];
    const { incidents } = await ok(alarmShownSchema, acked);
    expect(incidents[0]).toMatchObject({
      device: 'motor-2',
      cleared: null,
      acknowledged: { note: 'on my way' },
    });
    const [alarm] = await ok(alarmsSchema.shape.alarms, ['alarm', 'list']);
    expect(alarm).toMatchObject({ open: 1, unacknowledged: 0 });
    expect((await runCli(['alarm', 'ack', 'hot'])).stdout).toMatch(/^The open incidents were already/);
    expect(await refusal(['alarm', 'ack', 'hot', '--selector', 'motor-1'])).toMatchObject({
      ...{ code: 'AIOT_NOT_FOUND', exit: 4, message: 'the alarm hot has no open incident on motor-1' },
    });
  });

  it('is raised on a device that stops sending, and ends with its next message', async () => {
    await ok(alarmSchema, [
      'alarm',
      'create',
      '--name',
      'mute',
      '--absent',
      '1s',
      '--selector',
      'name=motor-1',
    ]);
    await send('motor-1', 60, [20]);
    const mute = async () =>
      (await own.client.alarms.get('mute')).incidents.map(({ device, cleared }) => [
        device,
        cleared !== null,
      ]);
    await expect.poll(mute, { timeout: 10_000 }).toEqual([['motor-1', false]]);
    await send('motor-1', 70, [20]);
    await expect.poll(async () => (await mute()).at(-1), { timeout: 10_000 }).toEqual(['motor-1', true]);
  });

  it('is on a change, on a class or on offline devices', async () => {
    const create = (...flags: string[]) => ok(alarmSchema, ['alarm', 'create', '--name', ...flags]);
    const rate = ['--rate', 'temperature', '--within', '20s', '--where', 'change > 5', '--stream', 'motors'];
    expect(await create('warming', ...rate)).toMatchObject({ rate: 'temperature', withinMs: 20_000 });
    const label = ['--class', 'shaking', '--within', '10m', '--where', 'share > 0.2 and total >= 50'];
    expect(await create('shaky', ...label)).toMatchObject({ class: 'shaking', withinMs: 600_000 });
    const offline = ['--offline-devices', '--where', 'share > 0.05', '--for', '2m'];
    expect(await create('outage', ...offline)).toMatchObject({ offline: true, forMs: 120_000 });

    const base = ['alarm', 'create', '--name', 'other', '--where', 'change > 5'];
    for (const flags of [
      ['--rate', 'temperature'],
      ['--rate', 'temperature', '--within', '1m', '--class', 'shaking'],
      ['--offline-devices', '--stream', 'motors'],
    ])
      expect(await refusal([...base, ...flags])).toMatchObject({ code: 'AIOT_USAGE', exit: 2 });
    expect(await refusal([...base, '--within', '1m'])).toMatchObject({ code: 'AIOT_REQUEST_INVALID' });
    const mute = ['alarm', 'create', '--name', 'other', '--absent', '5m'];
    for (const [flags, message] of [
      [['--for', '10s'], '--for cannot be combined with --absent'],
      [['--clear', 'x < 1'], '--clear cannot be combined with --absent'],
      [['--clear-for', '91d'], '--clear-for: expected at most 90d'],
    ] as const)
      expect((await refusal([...mute, ...flags])).message).toContain(message);
    expect(await refusal(['alarm', 'test', 'outage'])).toMatchObject({ code: 'AIOT_REQUEST_INVALID' });

    await send('motor-2', 100, [20, 20, ...Array.from({ length: 20 }, (_, i) => 20 + i / 2)]);
    const warming = async () => (await own.client.alarms.get('warming')).incidents;
    await expect.poll(warming, { timeout: 10_000 }).toMatchObject([{ device: 'motor-2' }]);
    const shown = await runCli(['alarm', 'list']);
    expect(shown.stdout).toMatch(/warming .*temperature within 20s: change > 5 +motors/);
    expect(shown.stdout).toMatch(/shaky .*predictions of shaking within 10m: share > 0\.2 .*predictions/);
    expect(shown.stdout).toMatch(/outage .*offline devices: share > 0\.05 for 2m +connections/);
    for (const name of ['warming', 'shaky', 'outage']) await own.client.alarms.remove(name);
  });

  it('warns about a stream or a field that no stored telemetry has', async () => {
    const cautions = async (...flags: string[]) => {
      const { stderr, code } = await runCli(['alarm', 'create', '--name', 'typo', ...flags]);
      expect(code, stderr).toBe(0);
      await own.client.alarms.remove('typo');
      return stderr.trim();
    };
    const field =
      '! No stored telemetry of motors has a number in the field temprature. Did you mean temperature?';
    const ofMotors = ['--stream', 'motors'];
    expect(await cautions('--where', 'temprature > 80', ...ofMotors)).toBe(field);
    const rate = ['--rate', 'temprature', '--within', '1m', '--where', 'change > 5'];
    expect(await cautions(...rate, ...ofMotors)).toBe(field);
    expect(await cautions('--where', 'temperature > 80', '--stream', 'motrs')).toBe(
      '! There is no stored telemetry in the stream motrs. Did you mean motors?',
    );
    expect(JSON.parse(await cautions('--where', 'quux > 80', '--json'))).toEqual({
      warning: 'No stored telemetry has a number in the field quux.',
    });
    // Texts are not stored, and the values of --class are not fields.
    expect(await cautions('--where', 'temperature > 80 and mode = "on"', ...ofMotors)).toBe('');
    expect(await cautions('--class', 'hot', '--within', '1m', '--where', 'share > 0.5')).toBe('');
    // Both typos are reported.
    const both = await cautions(
      '--rate',
      'temprature',
      '--within',
      '1m',
      '--where',
      'chnge > 5',
      ...ofMotors,
    );
    expect(both.split('\n')).toEqual([
      field,
      '! With --rate, a condition can use change and rate, but not chnge. Did you mean change?',
    ]);
  });

  it('warns about a field of predictions without --class, and about an unknown class', async () => {
    const cautions = async (...flags: string[]) => {
      const { stderr, code } = await runCli(['alarm', 'create', '--name', 'typo', ...flags]);
      expect(code, stderr).toBe(0);
      await own.client.alarms.remove('typo');
      return stderr.trim().replaceAll(/\s+/g, ' ');
    };
    const way = "--class walking --within 10s --where 'share > 0.2'.";
    expect(await cautions('--where', 'label = "walking"')).toBe(
      `! Without --class, an alarm does not evaluate predictions. If label is one of their fields, use ${way}`,
    );
    expect(await cautions('--where', 'voted = "walking"', '--stream', 'predictions')).toBe(
      `! Predictions are not a telemetry stream. For an alarm on them, use ${way}`,
    );
    expect(await cautions('--where', 'confidence > 0.9')).toContain('use --class CLASS --within 10s');

    await pushTiny(own.client, own.key);
    const share = ['--within', '10s', '--where', 'share > 0.2'];
    expect(await cautions('--class', 'walkign', ...share)).toBe(
      '! No model has the class walkign in its newest version. Did you mean walking?',
    );
    expect(await cautions('--class', 'walking', ...share)).toBe('');
    expect(await cautions('--class', 'walking', '--within', '10s', '--where', 'shar > 0.2')).toBe(
      '! With --class, a condition can use share, count and total, but not shar. Did you mean share?',
    );
    expect(await cautions('--unwell', '--where', '"silent" in causes and stat = "failing"')).toContain(
      'not stat. Did you mean state?',
    );
  });

  it('reports an expression that cannot be evaluated, and limits the time of regular expressions', async () => {
    const create = ['alarm', 'create', '--stream', 'words', '--name'];
    await ok(alarmSchema, [...create, 'wrong', '--where', '$lower(word) = "hot"']);
    await ok(alarmSchema, [...create, 'slow', '--where', '$contains(word, /^(a+)+$/)']);
    const device = await connectDevice(own.platform.urls.mqtts, join(own.folder, 'motor-1'));
    const began = Date.now();
    for (const word of ['hot', `${'a'.repeat(40)}!`])
      await device.publishAsync('aiot/v1/motor-1/telemetry/words', JSON.stringify({ level: 1, word }), {
        qos: 1,
      });
    await device.endAsync();
    const failing = async (name: string) => (await own.client.alarms.get(name)).alarm.failing;
    await expect
      .poll(() => failing('slow'), { timeout: 60_000 })
      .toMatchObject({
        ...{ count: 1, device: 'motor-1', error: expect.stringContaining('takes more than') },
      });
    // Without the limit, it would take hours.
    expect(Date.now() - began).toBeLessThan(60_000);
    await expect.poll(() => failing('wrong'), { timeout: 10_000 }).toMatchObject({ count: 2 });
    expect((await runCli(['alarm', 'show', 'wrong'])).stdout).toMatch(
      /state +quiet, cannot be evaluated\n.*\n.*\nfails +on 2 samples since .*of motor-1: /,
    );
    const { alarms } = await own.client.attention.list({});
    expect(alarms.map(({ alarm, count }) => [alarm, count])).toEqual([
      ['slow', 1],
      ['wrong', 2],
    ]);
    expect((await runCli(['status', '--attention'])).stdout).toMatch(
      /failing +wrong alarm\n +cannot be evaluated on 2 samples[\s\S]*→ Correct its expression; see `aiot alarm show wrong`/,
    );
    await own.client.alarms.remove('slow');
    await own.client.alarms.remove('wrong');
  });

  it('is defined by a project, and follows its aiot.yaml', async () => {
    const project = join(own.folder, 'oven');
    await mkdir(project);
    const apply = (alarms: string, ...flags: string[]) =>
      writeFile(join(project, 'aiot.yaml'), `name: oven\nalarms:\n${alarms}`).then(() =>
        ok(projectAlarmsAppliedSchema, ['alarm', 'apply', '--project', project, ...flags]),
      );
    const steady = '  steady: { where: temperature > 50, for: 1s, stream: motors, todo: Open it. }\n';
    const planned = await apply(steady, '--dry-run');
    expect(planned).toMatchObject({ dryRun: true, created: ['steady'] });
    expect(await refusal(['alarm', 'show', 'steady'])).toMatchObject({ code: 'AIOT_NOT_FOUND' });
    expect(await apply(steady)).toMatchObject({ created: ['steady'] });
    expect(await apply(steady)).toMatchObject({ created: [], unchanged: ['steady'] });
    await send('motor-1', 80, [60, 61, 62]);
    const steadyShown = async () => (await own.client.alarms.get('steady')).incidents;
    await expect.poll(steadyShown, { timeout: 10_000 }).toMatchObject([{ cleared: null }]);

    // A changed definition ends the incident, and its evaluation restarts with the next message.
    expect(await apply(steady.replace('50', '55'))).toMatchObject({ changed: ['steady'] });
    expect((await steadyShown())[0]?.cleared).not.toBeNull();
    await send('motor-1', 90, [60, 61]);
    await expect.poll(steadyShown, { timeout: 10_000 }).toHaveLength(2);
    expect((await own.client.alarms.get('steady')).alarm).toMatchObject({ project: 'oven', open: 1 });

    const elsewhere = { project: 'mill', alarms: [{ name: 'steady', where: 'x > 1' }] };
    await expect(own.client.alarms.apply(elsewhere)).rejects.toMatchObject({ code: 'AIOT_ALREADY_EXISTS' });
    // The project takes over the alarm that a user created with this name, and leaves the other alarms unchanged.
    const hot = '  hot: { where: temperature > 99 }\n';
    await writeFile(join(project, 'aiot.yaml'), `name: oven\nalarms:\n${hot}`);
    expect(await refusal(['alarm', 'apply', '--project', project])).toMatchObject({ exit: 2 });
    expect((await runCli(['alarm', 'apply', '--project', project, '--yes'])).stdout).toMatch(
      /changed +hot\nremoved +steady/,
    );
    const target = '  ops: { url: "ntfys://ntfy.sh/aiot-test", alarms: [hot], severity: critical }\n';
    const targeted = await apply(`${hot}notify:\n${target}`);
    expect(targeted).toMatchObject({ unchanged: ['hot'], targets: { created: ['ops'] } });
    expect(await own.client.alarmTargets.list()).toMatchObject([
      { name: 'ops', project: 'oven', alarms: ['hot'], severity: 'critical', afterMs: 0, groupMs: 60_000 },
    ]);
    const shared = { project: 'mill', targets: [{ name: 'ops', url: 'ntfys://ntfy.sh/aiot-mill' }] };
    await expect(own.client.alarmTargets.apply(shared)).rejects.toMatchObject({
      code: 'AIOT_ALREADY_EXISTS',
    });
    // An invalid target changes nothing, not even the alarms.
    const wrong = `${hot.replace('99', '98')}notify:\n${target.replace('ntfys', 'gopher')}`;
    await writeFile(join(project, 'aiot.yaml'), `name: oven\nalarms:\n${wrong}`);
    expect(await refusal(['alarm', 'apply', '--project', project])).toMatchObject({
      code: 'AIOT_ALARM_TARGET',
    });
    expect((await own.client.alarms.get('hot')).alarm.where).toBe('temperature > 99');
    await writeFile(join(project, 'aiot.yaml'), `name: oven\nalarms:\n${hot}`);
    expect(await refusal(['alarm', 'apply', '--project', project])).toMatchObject({ exit: 2 });
    expect((await runCli(['alarm', 'apply', '--project', project, '--yes'])).stdout).toMatch(
      /Targets of oven\nremoved +ops/,
    );
    expect(await own.client.alarmTargets.list()).toEqual([]);
    const left = await ok(alarmsSchema.shape.alarms, ['alarm', 'list']);
    expect(left.map(({ name, project: of }) => [name, of])).toEqual([
      ['hot', 'oven'],
      ['mute', undefined],
    ]);
  });

  it('is removed with its incidents', async () => {
    expect(await refusal(['alarm', 'remove', 'hot'])).toMatchObject({ exit: 2 });
    await ok(alarmSchema, ['alarm', 'remove', 'hot', '--yes']);
    await ok(alarmSchema, ['alarm', 'remove', 'mute', '--yes']);
    expect(await ok(alarmsSchema.shape.alarms, ['alarm', 'list'])).toEqual([]);
  });
});
