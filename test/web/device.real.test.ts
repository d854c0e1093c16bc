import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createVirtualDevice } from '../../src/lib/device/virtual/device.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { describeReal } from '../support/real.js';

const series = 10;
const rate = 100;

describeReal('chromium', 'device pages', () => {
  let own: Dashboard;
  let device: FakeDevice;
  let sending: NodeJS.Timeout;
  beforeAll(async () => {
    own = await dashboard();
    const { client, folder, platform } = own.platform;
    await provisionDevice({ client, name: 'bench-1', type: 'virtual', out: join(folder, 'bench-1') });
    device = await fakeDevice(platform.urls.mqtts, join(folder, 'bench-1'), 'bench-1');
    const say = (channel: string, message: object) =>
      // The last messages may still be in flight when the connection ends.
      device.client
        .publishAsync(`aiot/v1/bench-1/${channel}`, JSON.stringify(message), { qos: 1 })
        .catch(() => {});
    await device.report('COMMITTED', { rollout: 'r1', golden: { vectors: 3, passed: 3 } });
    await say('log', {
      t: Date.now(),
      level: 'warn',
      message: 'the sensor <b>was</b> silent',
      code: 'AIOT_SENSOR_SILENT',
    });
    let seq = 0;
    const batch = rate / 10;
    sending = setInterval(() => {
      const t = Date.now() - 100;
      const columns = Object.fromEntries(
        Array.from({ length: series }, (_, c) => [
          `f${c}`,
          Array.from({ length: batch }, (_, i) => c + Math.sin((seq * batch + i) / (8 + c)) / 2),
        ]),
      );
      void say('telemetry/imu', { seq, t, rate, ...columns });
      const label = seq % 40 < 20 ? 'walking' : 'sitting';
      const answer = { label, voted: label, scores: [0.9, 0.1], latencyMs: 1.2 };
      const detections = [
        { label: 'mug', x: 40.2, y: 12, confidence: 0.9 },
        { label: 'hand', x: 8, y: 52, confidence: 0.6 },
      ];
      const model = { name: 'motion', version: 1 };
      const extra = { speed: [1.20449], '<i>angles</i>': [0.5, 12] };
      void say('inference', { seq, t, model, window: seq, ...answer, detections, extra });
      seq++;
    }, 100);
  });
  afterAll(async () => {
    clearInterval(sending);
    await device.client.endAsync(true);
    await own.stop();
  });

  it('sort the objects that a model finds in a picture', async () => {
    const { page, context, troubles } = await own.open('#/devices/bench-1');
    const table = page.getByRole('table', { name: 'Objects' });
    await table.getByText('mug').waitFor();
    expect(await table.getByRole('rowheader').allInnerTexts()).toEqual(['mug', 'hand']);
    await table.getByRole('button', { name: 'object' }).click();
    expect(await table.getByRole('rowheader').allInnerTexts()).toEqual(['hand', 'mug']);
    expect(page.url()).toContain('sort-objects=object');
    await page.reload();
    await table.getByText('mug').waitFor();
    expect(await table.getByRole('rowheader').allInnerTexts()).toEqual(['hand', 'mug']);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('show the values of a model’s other outputs next to its prediction', async () => {
    const { page, context, troubles } = await own.open('#/devices/bench-1');
    const tile = (label: string) => page.locator('.tile').filter({ hasText: label });
    await tile('current prediction').waitFor();
    expect(await tile('speed').textContent()).toBe('1.204speed');
    expect(await tile('<i>angles</i>').textContent()).toBe('0.5 12<i>angles</i>');
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('plot telemetry live at the screen’s frame rate', async () => {
    const { page, context, troubles } = await own.open('#/devices');
    await page.getByRole('link', { name: 'bench-1' }).click();
    await page.getByRole('heading', { name: 'imu' }).waitFor();
    await page.getByRole('heading', { name: 'Predictions' }).waitFor();
    await page.waitForTimeout(1500);
    const frames = (await page.evaluate(`new Promise((done) => {
      let count = 0;
      const begin = performance.now();
      const next = () => { count++; performance.now() - begin < 2000 ? requestAnimationFrame(next) : done(count / 2); };
      requestAnimationFrame(next);
    })`)) as number;
    // Software rendering on a busy machine reaches a third of a screen's frame rate; see docs/background/benchmarks.md.
    expect(frames).toBeGreaterThan(20);

    await page.screenshot({
      path: join(process.env.SHOTS ?? own.platform.folder, 'device.png'),
      fullPage: true,
    });
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('show desired and reported state, logs and history, and run actions', async () => {
    const { page, context, troubles } = await own.open('#/devices/bench-1?tab=log');
    await page.getByText('the sensor <b>was</b> silent').waitFor();
    await page.getByRole('link', { name: 'Desired and reported' }).click();
    await page.getByRole('cell', { name: 'COMMITTED' }).waitFor();
    await expectAccessible(page);
    await page.getByRole('link', { name: 'History' }).click();
    await page.getByText('provision', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Suspend', exact: true }).click();
    await page.getByRole('dialog', { name: 'Suspend bench-1?' }).waitFor();
    await expectAccessible(page);
    await page.getByRole('dialog').getByRole('button', { name: 'Suspend', exact: true }).click();
    await page.getByRole('button', { name: 'Resume', exact: true }).waitFor();
    await page.getByRole('button', { name: 'Resume', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Resume', exact: true }).click();
    await page.getByRole('button', { name: 'Suspend', exact: true }).waitFor();
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('plot how far the signal is from the training data, and say how many samples are missing', async () => {
    const { page, context, troubles } = await own.open('#/devices/bench-1?tab=log');
    const minute = 60_000;
    const from = Date.UTC(2026, 0, 2, 12);
    const windows = Array.from({ length: 20 }, (_, i) => ({
      ...{ from: from + i * 10 * minute, to: from + (i + 1) * 10 * minute - 1 },
      psi: Array.from({ length: 9 }, (_, f) => (i >= 15 ? f / 4 : 0.02)),
      drifted: i >= 15 ? ['f8'] : [],
    }));
    const drift = {
      ...{ model: { name: 'motion', version: 1 }, stream: 'imu', samples: 12, windowSamples: 30_000 },
      fields: Array.from({ length: 9 }, (_, f) => `f${f}`),
    };
    let shown: object[] = [];
    await page.route('**/api/v1/devices/bench-1/attention', async (route) => {
      const response = await route.fetch();
      await route.fulfill({
        response,
        json: { ...(await response.json()), drift: { ...drift, windows: shown } },
      });
    });
    await page.getByRole('link', { name: 'History' }).click();
    await page.getByText('The first window is not complete: 12 of 30,000 samples.').waitFor();
    shown = windows;
    await page.reload();
    await page.getByText('imu, compared with the training data of motion@1').waitFor();
    await page.getByText('5 of 20 windows drifted; the plot shows the 8 fields that differ most').waitFor();
    const section = page.locator('section').filter({ hasText: 'Drift of the signal' });
    const names = ['f8', 'f7', 'f6', 'f5', 'f4', 'f3', 'f2', 'f1'];
    for (const name of names) await section.getByText(name, { exact: true }).first().waitFor();
    expect(await section.getByText('f0', { exact: true }).count()).toBe(0);
    await expectAccessible(page);
    await page.screenshot({
      path: join(process.env.SHOTS ?? own.platform.folder, 'drift.png'),
      fullPage: true,
    });
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('call a command with a form, and show its reply or the reason for its failure', async () => {
    const params = {
      type: 'object',
      properties: {
        rpm: { type: 'integer', minimum: 0, maximum: 3000, description: 'Revolutions per minute.' },
        mode: { enum: ['eco', 'boost'] },
        steps: { type: 'array', items: { type: 'number' } },
        pin: { type: 'string', writeOnly: true },
      },
      required: ['rpm'],
    };
    await own.platform.client.commands.apply({
      project: 'bench',
      commands: [{ type: 'virtual', name: 'set-speed', summary: 'Set the speed of the motor.', params }],
    });
    const { client, folder, platform } = own.platform;
    await provisionDevice({ client, name: 'bench-2', type: 'virtual', out: join(folder, 'bench-2') });
    const called = await fakeDevice(platform.urls.mqtts, join(folder, 'bench-2'), 'bench-2');
    const heard: unknown[] = [];
    called.client.on('message', (topic, payload) => {
      if (!topic.endsWith('/command')) return;
      const { id, args } = JSON.parse(payload.toString()) as { id: string; args: { rpm: number } };
      heard.push(args);
      const error = { code: 'AIOT_COMMAND_FAILED', message: 'the belt slips' };
      const outcome = args.rpm > 2000 ? { ok: false, error } : { ok: true, result: { rpm: args.rpm } };
      const reply = JSON.stringify({ id, t: Date.now(), ...outcome });
      void called.client.publishAsync('aiot/v1/bench-2/reply', reply, { qos: 1 });
    });
    await called.client.subscribeAsync('aiot/v1/bench-2/command', { qos: 1 });
    const { page, context, troubles } = await own.open('#/devices/bench-2?tab=commands');
    const form = page.getByRole('region', { name: 'set-speed' });
    await form.getByLabel('rpm').fill('900');
    await form.getByLabel('mode').selectOption('boost');
    await form.getByLabel('steps').fill('[1, 2]');
    await form.getByLabel('pin').fill('0815');
    await form.getByText('aiot device call bench-2 set-speed --param rpm=900 --param mode=boost').waitFor();
    expect(await form.getByText('0815').count()).toBe(0);
    await form.getByRole('button', { name: 'Call', exact: true }).click();
    await form.getByText(/Replied in \d+ ms/).waitFor();
    expect(heard).toEqual([{ rpm: 900, mode: 'boost', steps: [1, 2], pin: '0815' }]);
    await expectAccessible(page);
    await page.screenshot({
      path: join(process.env.SHOTS ?? own.platform.folder, 'commands.png'),
      fullPage: true,
    });
    await form.getByLabel('rpm').fill('2500');
    await form.getByRole('button', { name: 'Call', exact: true }).click();
    await form.getByText('bench-2: AIOT_COMMAND_FAILED the belt slips').waitFor();
    await form.getByLabel('steps').fill('1, 2');
    await form.getByRole('button', { name: 'Call', exact: true }).click();
    await form.getByText('set-speed: params.steps: must be array, got "1, 2"').waitFor();
    expect(heard).toHaveLength(2);
    await page.screenshot({
      path: join(process.env.SHOTS ?? own.platform.folder, 'commands-failed.png'),
      fullPage: true,
    });
    expect(troubles.filter((trouble) => !/status of 400/.test(trouble))).toEqual([]);
    await called.client.endAsync(true);
    await context.close();
  });

  it('set the log level for a time', async () => {
    const { client, folder } = own.platform;
    await provisionDevice({ client, name: 'bench-3', type: 'virtual', out: join(folder, 'bench-3') });
    const device = await createVirtualDevice({ identityDir: join(folder, 'bench-3') });
    await device.connect();
    const { page, context, troubles } = await own.open('#/devices/bench-3', { width: 390 });
    page.setDefaultTimeout(20_000);
    await page.getByRole('button', { name: 'Log level' }).click();
    const dialog = page.getByRole('dialog', { name: 'Log level of bench-3' });
    await dialog.getByText('aiot device log-level bench-3 debug --for 10m').waitFor();
    await dialog.getByLabel('Level', { exact: true }).selectOption('warn');
    await dialog.getByLabel('Duration').selectOption('1h');
    await dialog.getByText('aiot device log-level bench-3 warn --for 1h').waitFor();
    await expectAccessible(page);
    await page.screenshot({ path: join(process.env.SHOTS ?? folder, 'log-level-390.png') });
    await dialog.getByRole('button', { name: 'Set the level' }).click();
    await page.getByText('bench-3 logs from level warn for 1h.').waitFor();
    await page.locator('dt', { hasText: 'log level' }).waitFor();
    const { log } = await client.devices.get('bench-3');
    expect(log?.level).toBe('warn');
    expect(Math.abs((log?.forMs ?? 0) - 3_600_000)).toBeLessThan(60_000);
    expect(troubles).toEqual([]);
    await device.stop();
    await context.close();
  });

  it('set the log level of a selection, and show which devices kept theirs', async () => {
    const { client, folder } = own.platform;
    const names = ['level-1', 'level-2', 'level-3'];
    const devices = [];
    for (const name of names) {
      await provisionDevice({ client, name, type: 'virtual', out: join(folder, name) });
      if (name === 'level-3') continue;
      const device = await createVirtualDevice({ identityDir: join(folder, name) });
      await device.connect();
      devices.push(device);
    }
    const { page, context, troubles } = await own.open(`#/devices?selector=${names.join()}`);
    page.setDefaultTimeout(20_000);
    await page.getByRole('checkbox', { name: 'Select all 3 devices' }).check();
    await page.getByRole('button', { name: 'Log level' }).press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Log level of 3 devices' });
    await dialog.getByLabel('Level', { exact: true }).selectOption('warn');
    await dialog.getByLabel('Duration').selectOption('1h');
    await dialog.getByText('aiot device log-level warn --for 1h --selector').waitFor();
    await expectAccessible(page);
    // While it runs, Escape stops it. The devices that have been called are listed.
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const asked: string[] = [];
    await page.route('**/commands', async (request) => {
      asked.push(request.request().url());
      await held;
      await request.continue();
    });
    await dialog.getByRole('button', { name: 'Set the level of 3 devices' }).press('Enter');
    await dialog.getByText('0 of 3 devices …').waitFor();
    await page.keyboard.press('Escape');
    await dialog.getByText('Stopping: 0 of 3 devices …').waitFor();
    release();
    await dialog.getByText('2 set, 1 unchanged').waitFor();
    expect(asked).toHaveLength(3);
    const result = dialog.getByRole('table', { name: 'Result of each device' });
    await result.getByRole('row', { name: /^level-3 unchanged.*AIOT_DEVICE_OFFLINE/ }).waitFor();
    await result.getByRole('row', { name: 'level-1 set' }).waitFor();
    await page.setViewportSize({ width: 390, height: 860 });
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    await expectAccessible(page);
    await page.screenshot({ path: join(process.env.SHOTS ?? folder, 'log-levels-390.png') });
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    const levels = await Promise.all(names.map(async (name) => (await client.devices.get(name)).log?.level));
    expect(levels).toEqual(['warn', 'warn', undefined]);
    expect(troubles.filter((trouble) => !/status of 4\d\d/.test(trouble))).toEqual([]);
    for (const device of devices) await device.stop();
    await context.close();
  });

  it('stop a change of log levels after a rejection, and do not call a lost request unchanged', async () => {
    const { client, folder } = own.platform;
    const names = ['lost-1', 'lost-2', 'lost-3', 'lost-4', 'lost-5', 'lost-6'];
    for (const name of names)
      await provisionDevice({ client, name, type: 'virtual', out: join(folder, name) });
    const { page, context } = await own.open(`#/devices?selector=${names.join()}`);
    page.setDefaultTimeout(20_000);
    const asked: string[] = [];
    const json = { code: 'AIOT_COMMAND_UNANSWERED', detail: 'no reply arrived in time', next: '' };
    await page.route('**/commands', async (request) => {
      asked.push(request.request().url());
      // The first four calls are under way when one is rejected.
      await expect.poll(() => asked.length).toBeGreaterThanOrEqual(4);
      if (asked.indexOf(request.request().url()) === 0) await request.fulfill({ status: 504, json });
      else await request.fulfill({ status: 403, json: { ...json, code: 'AIOT_NOT_ALLOWED' } });
    });
    await page.getByRole('checkbox', { name: 'Select all 6 devices' }).check();
    await page.getByRole('button', { name: 'Log level' }).click();
    const dialog = page.getByRole('dialog', { name: 'Log level of 6 devices' });
    await dialog.getByRole('button', { name: 'Set the level of 6 devices' }).click();
    await dialog.getByText(/^0 set, [34] unchanged, 1 unknown$/).waitFor();
    expect(asked.length).toBeLessThanOrEqual(5);
    await dialog.getByRole('row', { name: /^lost-1 unknown.*AIOT_COMMAND_UNANSWERED/ }).waitFor();
    await expectAccessible(page);
    await context.close();
  });

  it('show settings with their sources, and override one of them', async () => {
    const { client, folder, platform } = own.platform;
    const schema = {
      type: 'object',
      properties: {
        rpm: { type: 'integer', minimum: 0, maximum: 3000, default: 900, description: 'Speed of the pump.' },
        report: { type: 'object', properties: { everyS: { type: 'integer', minimum: 1, default: 60 } } },
        steps: { type: 'array', items: { type: 'number' } },
      },
    };
    await client.settings.apply({ project: 'pumps', settings: [{ type: 'pump', schema }] });
    await provisionDevice({ client, name: 'pump-1', type: 'pump', out: join(folder, 'pump-1') });
    const pump = await fakeDevice(platform.urls.mqtts, join(folder, 'pump-1'), 'pump-1');
    await client.settings.changeGroup('pump', 'lab', { set: { report: { everyS: 10 } } });
    await client.devices.patch('pump-1', { groups: ['lab'] });
    const { page, context, troubles } = await own.open('#/devices/pump-1?tab=settings');
    const row = (path: string) =>
      page.getByRole('row').filter({ has: page.getByText(path, { exact: true }) });
    await expect.poll(() => row('report.everyS').textContent()).toMatch(/10group lab/);
    expect(await row('rpm').textContent()).toMatch(/900default/);
    const form = page.getByRole('region', { name: 'Override a setting' });
    await form.getByLabel('setting', { exact: true }).selectOption('rpm');
    expect(await form.getByLabel('value').inputValue()).toBe('900');
    await form.getByLabel('value').fill('1200');
    await form.getByText('aiot device settings set pump-1 rpm=1200').waitFor();
    await form.getByRole('button', { name: 'Set', exact: true }).click();
    await expect.poll(() => row('rpm').textContent()).toMatch(/1200pump-1/);
    expect(await client.settings.of('pump-1')).toMatchObject({ own: { rpm: 1200 } });
    await expectAccessible(page);
    await page.screenshot({
      path: join(process.env.SHOTS ?? own.platform.folder, 'settings.png'),
      fullPage: true,
    });
    await form.getByLabel('setting', { exact: true }).selectOption('steps');
    await form.getByLabel('value').fill('1, 2');
    await form.getByRole('button', { name: 'Set', exact: true }).click();
    await form.getByText(/settings\.steps: must be array/).waitFor();
    await form.getByLabel('setting', { exact: true }).selectOption('report.everyS');
    expect(await form.getByRole('button', { name: 'Remove the override' }).count()).toBe(0);
    await form.getByLabel('setting', { exact: true }).selectOption('rpm');
    await form.getByRole('button', { name: 'Remove the override' }).click();
    await expect.poll(() => row('rpm').textContent()).toMatch(/900default/);
    expect(await client.settings.of('pump-1')).toMatchObject({ own: {} });
    // A device has half a minute to apply a change.
    const { digest } = await client.settings.of('pump-1');
    const settings = { digest, values: { rpm: 300, report: { everyS: 10 } } };
    await pump.report('COMMITTED', { settings } as never);
    await expect.poll(() => row('rpm').textContent()).toMatch(/900default300 differs/);
    await page.getByText('The device has not applied these settings yet.').waitFor();
    await page.screenshot({
      path: join(process.env.SHOTS ?? own.platform.folder, 'settings-differ.png'),
      fullPage: true,
    });
    expect(troubles.filter((trouble) => !/status of 400/.test(trouble))).toEqual([]);
    await pump.client.endAsync(true);
    await context.close();
  });

  // A case for each page, because the check for accessibility takes ten seconds and more on a busy machine.
  it.each([
    ...['#/', '#/devices', '#/devices?view=map', '#/devices/bench-1'],
    '#/devices/bench-1?tab=commands',
    '#/devices/pump-1?tab=settings',
  ])('fit a phone in dark mode, and hide actions from a viewer: %s', async (hash) => {
    const viewer = await own.platform.client.tokens.create({ name: 'screen', role: 'viewer' });
    const { page, context, troubles } = await own.open(hash, {
      width: 390,
      dark: true,
      token: viewer.token,
    });
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.waitForTimeout(300);
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    await expectAccessible(page);
    expect(await page.getByRole('button', { name: 'Suspend', exact: true }).count()).toBe(0);
    await page.screenshot({
      path: join(process.env.SHOTS ?? own.platform.folder, `phone-${hash.length}.png`),
    });
    expect(troubles).toEqual([]);
    await context.close();
  });
});
