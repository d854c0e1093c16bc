import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { type FakeFleet, fakeFleet } from '../support/fake-fleet.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the alarms page', () => {
  let own: Dashboard;
  let fleet: FakeFleet;
  beforeAll(async () => {
    own = await dashboard();
    const { client, folder, platform } = own.platform;
    fleet = await fakeFleet(
      { client, mqtts: platform.urls.mqtts, folder },
      ['motor-1', 'motor-2'],
      () => 'commits',
    );
  });
  afterAll(async () => {
    await fleet?.stop();
    await own?.stop();
  });

  const client = () => own.platform.client;

  const send = (index: number, temperature: number) =>
    fleet.devices[index]?.client.publishAsync(
      `aiot/v1/motor-${index + 1}/telemetry/motors`,
      JSON.stringify({ temperature, current: 1.5 }),
      { qos: 1 },
    );

  it('explains how to create the first alarm', async () => {
    const { page, troubles } = await own.open('#/alarms');
    page.setDefaultTimeout(15_000);
    await page.getByText('No alarms yet').waitFor();
    await page.getByText("aiot alarm create --name hot --where 'temperature > 80' --for 10s").waitFor();
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('creates an alarm with a form, shows why the platform rejects one, and gives the command', async () => {
    const { page, troubles } = await own.open('#/alarms', { width: 390 });
    page.setDefaultTimeout(15_000);
    await page.getByRole('button', { name: 'New alarm' }).click();
    const dialog = page.getByRole('dialog', { name: 'New alarm' });
    await dialog.getByLabel('Name').fill('warm');
    await dialog.getByLabel('Condition', { exact: true }).fill('temperature >');
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await dialog.getByRole('alert').waitFor();
    expect(await client().alarms.list()).toEqual([]);
    await dialog.getByLabel('Condition', { exact: true }).fill('temperature > 30');
    await dialog.getByLabel('For at least').fill('10s');
    await dialog.getByLabel('Stream').fill('motors');
    await dialog.getByLabel('Severity').selectOption('critical');
    await dialog.getByLabel('Next step for the operator').fill("Check the fan's filter.");
    await dialog
      .getByText(
        "aiot alarm create --name warm --where 'temperature > 30' --for 10s --stream motors --severity critical",
      )
      .waitFor();
    await expectAccessible(page);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, 'new-alarm-390.png') });
    await page.setViewportSize({ width: 1280, height: 860 });
    await page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, 'new-alarm-1280.png') });
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await page.getByRole('heading', { name: 'warm', level: 1 }).waitFor();
    expect((await client().alarms.get('warm')).alarm).toMatchObject({
      ...{ name: 'warm', where: 'temperature > 30', forMs: 10_000, stream: 'motors', selector: 'all' },
      ...{ severity: 'critical', todo: "Check the fan's filter." },
    });
    await page.goto(new URL('/#/alarms?ask=new', own.platform.platform.urls.http).href);
    await dialog.getByLabel('Kind').selectOption('absence');
    await dialog.getByLabel('Name').fill('mute');
    await dialog.getByLabel('No telemetry for').fill('soon');
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await dialog.getByText('expected a duration, such as 10s, 5m or 2h').waitFor();
    await dialog.getByLabel('No telemetry for').fill('10m');
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await page.getByRole('heading', { name: 'mute', level: 1 }).waitFor();
    expect((await client().alarms.get('mute')).alarm).toMatchObject({
      absentMs: 600_000,
      severity: 'warning',
    });
    for (const name of ['warm', 'mute']) await client().alarms.remove(name);
    expect(troubles.filter((each) => !each.includes('status of 400'))).toEqual([]);
    await page.context().close();
  });

  it('shows incidents with their samples as they happen, and acknowledges and silences them', async () => {
    const { client } = own.platform;
    await client.alarms.create({
      name: 'hot',
      where: 'temperature > 80',
      severity: 'critical',
      todo: 'Check the fan.',
    });
    const { page, troubles } = await own.open('#/alarms');
    page.setDefaultTimeout(15_000);
    const row = page.getByRole('table', { name: 'Alarms' }).getByRole('row').filter({ hasText: 'hot' });
    await row.getByText('quiet').waitFor();
    await send(0, 91.5);
    await row.getByText('1 open').waitFor();
    await row.getByRole('link', { name: 'hot' }).click();

    const list = page.getByRole('list', { name: 'Incidents' });
    await list.getByRole('link', { name: 'motor-1' }).waitFor();
    await list.getByText('1 sample before it was raised').click();
    const samples = list.getByRole('table', { name: 'Samples' });
    const heading = samples.getByRole('columnheader', { name: 'temperature' });
    await heading.getByRole('button').click();
    expect(await heading.getAttribute('aria-sort')).toBe('ascending');
    await heading.getByRole('button').click();
    expect(page.url()).toMatch(/sort-samples-[^=]+=-temperature/);
    await samples.getByRole('cell', { name: '91.5' }).waitFor();
    await page.screenshot({
      path: join(process.env.SHOTS ?? own.platform.folder, 'alarm.png'),
      fullPage: true,
    });
    await expectAccessible(page);

    await page.getByRole('button', { name: 'Acknowledge' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Note for other operators').fill('fan is being replaced');
    await expectAccessible(page);
    await dialog.getByRole('button', { name: 'Acknowledge' }).click();
    await list.getByText('fan is being replaced').waitFor();
    expect((await client.alarms.get('hot')).incidents[0]?.acknowledged?.note).toBe('fan is being replaced');

    await page.getByRole('button', { name: 'Silence' }).click();
    await dialog.getByLabel('Duration').selectOption('4');
    await dialog.getByRole('button', { name: 'Silence' }).click();
    await page.getByRole('button', { name: 'End the silence' }).waitFor();
    const { silencedUntil } = (await client.alarms.get('hot')).alarm;
    expect(Math.abs((silencedUntil ?? 0) - Date.now() - 4 * 3600_000)).toBeLessThan(60_000);
    await page.getByRole('button', { name: 'End the silence' }).click();
    await page.getByRole('button', { name: 'Silence' }).waitFor();
    await send(0, 20);
    await list.getByText('ended', { exact: true }).waitFor();
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  const shot = (name: string) => join(process.env.SHOTS ?? own.platform.folder, name);

  it('creates an alarm on predictions with maintenance windows, changes it and removes it', async () => {
    const { page, troubles } = await own.open('#/alarms?ask=new', {
      width: 390,
      dark: true,
      zone: 'Europe/Berlin',
    });
    page.setDefaultTimeout(15_000);
    const dialog = page.getByRole('dialog', { name: 'New alarm' });
    await dialog.getByLabel('Kind').selectOption('class');
    await dialog.getByLabel('Name').fill('shaky');
    await dialog.getByLabel('Class', { exact: true }).fill('shaking');
    await dialog.getByLabel('Within').fill('10m');
    await dialog.getByLabel('Condition', { exact: true }).fill('share > 0.2');
    await dialog.getByLabel('Maintenance windows (Europe/Berlin').fill('weekends');
    expect(await dialog.getByLabel('Stream').count()).toBe(0);
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await dialog.getByRole('alert').getByText('expected days and times, such as').waitFor();
    await dialog
      .getByLabel('Maintenance windows (Europe/Berlin')
      .fill('sat,sun 02:00-04:00; daily 22:00-22:30 UTC');
    await dialog
      .getByText(
        "aiot alarm create --name shaky --class shaking --within 10m --where 'share > 0.2' --maintenance 'sat,sun 02:00-04:00 Europe/Berlin' --maintenance 'daily 22:00-22:30 UTC'",
      )
      .waitFor();
    await expectAccessible(page);
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await page.getByText('sat,sun 02:00-04:00 Europe/Berlin; daily 22:00-22:30 UTC').waitFor();

    await page.getByRole('button', { name: 'Edit' }).click();
    const editing = page.getByRole('dialog', { name: 'Edit shaky' });
    expect(await editing.getByLabel('Class', { exact: true }).inputValue()).toBe('shaking');
    await editing.getByLabel('Within').fill('8d');
    await editing.getByRole('button', { name: 'Save' }).click();
    await editing.getByRole('alert').getByText('AIOT_REQUEST_INVALID').waitFor();
    await editing.getByLabel('Within').fill('1h');
    await editing.getByLabel('Ends when').fill('share < 0.1');
    await editing.getByLabel('Ended for').fill('5m');
    await editing.getByLabel('Maintenance windows (Europe/Berlin').fill('');
    await editing.getByText("--clear 'share < 0.1' --clear-for 5m --replace").waitFor();
    await expectAccessible(page);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await editing.getByRole('button', { name: 'Save' }).click();
    await page.getByText('predictions of shaking within 1 h: share > 0.2').waitFor();
    const { alarm } = await client().alarms.get('shaky');
    expect(alarm).toMatchObject({ class: 'shaking', withinMs: 3_600_000, clearForMs: 300_000 });
    expect(alarm.maintenance).toBeUndefined();

    await page.getByRole('button', { name: 'Remove' }).click();
    const removing = page.getByRole('dialog', { name: 'Remove shaky' });
    await removing.getByText('Its incidents are deleted.').waitFor();
    await removing.getByText('aiot alarm remove shaky').waitFor();
    await expectAccessible(page);
    await removing.getByRole('button', { name: 'Remove', exact: true }).click();
    await page.getByRole('heading', { name: 'Alarms', level: 1 }).waitFor();
    await expect
      .poll(async () => (await client().alarms.list()).map(({ name }) => name))
      .not.toContain('shaky');
    expect(troubles.filter((each) => !/status of 40[04]/.test(each))).toEqual([]);
    await page.context().close();
  });

  it('warns before a change of an alarm with open incidents, and of one that a project defines', async () => {
    const oven = { name: 'oven', where: 'temperature > 40', stream: 'motors' };
    await client().alarms.apply({ project: 'bakery', alarms: [oven] });
    await send(1, 55);
    await expect.poll(async () => (await client().alarms.get('oven')).alarm.open).toBe(1);
    const { page, troubles } = await own.open('#/alarms/oven');
    page.setDefaultTimeout(15_000);
    await page.getByRole('button', { name: 'Edit' }).click();
    const editing = page.getByRole('dialog', { name: 'Edit oven' });
    await editing.getByText('1 open incident will end.').waitFor();
    await editing.getByText('The project bakery defines this alarm.').waitFor();
    await editing.getByLabel('Condition', { exact: true }).fill('temperature > 60');
    await editing.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('list', { name: 'Incidents' }).getByText('ended', { exact: true }).waitFor();
    const { alarm } = await client().alarms.get('oven');
    expect(alarm).toMatchObject({ where: 'temperature > 60', project: 'bakery', open: 0 });
    await page.getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('dialog', { name: 'Remove oven' }).getByText('creates it again').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    await client().alarms.remove('oven');
    expect(troubles.filter((each) => !each.includes('status of 404'))).toEqual([]);
    await page.context().close();
  });

  it('tests an alarm on recorded telemetry, but not one on the state of devices', async () => {
    await client().alarms.create({ name: 'tepid', where: 'temperature > 50', severity: 'info' });
    await client().alarms.create({ name: 'outage', offline: true, where: 'share > 0.9' });
    for (const temperature of [20, 61, 20, 62, 20]) {
      await send(0, temperature);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const { page, troubles } = await own.open('#/alarms/tepid');
    page.setDefaultTimeout(15_000);
    const dialog = page.getByRole('dialog', { name: 'Test tepid' });
    await expect
      .poll(async () => (await client().alarms.test('tepid', { sinceMs: 3_600_000 })).total)
      .toBeGreaterThanOrEqual(2);
    const { total } = await client().alarms.test('tepid', { sinceMs: 3_600_000 });
    await page.getByRole('button', { name: 'Test' }).click();
    await dialog.getByLabel('Telemetry of the last').selectOption('1h');
    await dialog.getByText('aiot alarm test tepid --since 1h').waitFor();
    await dialog.getByRole('button', { name: 'Test', exact: true }).click();
    await dialog.getByText(`It would have fired ${total} times`).waitFor();
    const rows = dialog.getByRole('table').getByRole('row').filter({ hasText: 'motor-1' });
    expect(await rows.count()).toBeGreaterThanOrEqual(2);
    await expectAccessible(page);
    await page.screenshot({ path: shot('alarm-test-1280.png') });
    await page.setViewportSize({ width: 390, height: 860 });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await page.screenshot({ path: shot('alarm-test-390.png') });
    await page.goto(new URL('/#/alarms/outage', own.platform.platform.urls.http).href);
    await page.getByRole('heading', { name: 'outage', level: 1 }).waitFor();
    await page.getByRole('button', { name: 'Edit' }).waitFor();
    expect(await page.getByRole('button', { name: 'Test' }).count()).toBe(0);

    await page.goto(new URL('/#/alarms/tepid', own.platform.platform.urls.http).href);
    await page.route('**/alarms/tepid/test', () => {});
    await page.getByRole('button', { name: 'Test' }).click();
    const asked = page.waitForEvent('request', (request) => request.url().endsWith('/alarms/tepid/test'));
    await dialog.getByRole('button', { name: 'Test', exact: true }).click();
    await asked;
    const ended = page.waitForEvent('requestfailed');
    await dialog.getByRole('button', { name: 'Close' }).click();
    expect((await ended).url()).toMatch(/alarms\/tepid\/test$/);
    for (const name of ['tepid', 'outage']) await client().alarms.remove(name);
    expect(troubles.filter((each) => !/status of 40[04]/.test(each))).toEqual([]);
    await page.context().close();
  });

  it('adds, tests and removes a target of incidents', async () => {
    const posts: string[] = [];
    const statuses = [500, 200];
    const server = createServer((request, response) => {
      posts.push(request.url ?? '');
      request.resume();
      response.writeHead(statuses.shift() ?? 200, { 'content-type': 'application/json' }).end('{}');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `ntfy://127.0.0.1:${(server.address() as AddressInfo).port}/oven`;
    const { page, troubles } = await own.open('#/alarms', { width: 390 });
    page.setDefaultTimeout(15_000);
    await page.getByText('Incidents are only recorded.').waitFor();
    await page.getByRole('button', { name: 'Add a target' }).click();
    const dialog = page.getByRole('dialog', { name: 'Add a target' });
    await dialog.getByLabel('Name').fill('phone');
    await dialog.getByLabel('Address', { exact: true }).fill('gopher://x');
    await dialog.getByRole('button', { name: 'Add', exact: true }).click();
    await dialog.getByRole('alert').getByText('unknown scheme gopher').waitFor();
    await dialog.getByRole('alert').getByText('AIOT_ALARM_TARGET').waitFor();
    await dialog.getByLabel('Address', { exact: true }).fill(url);
    await dialog.getByRole('checkbox').check();
    await dialog.getByLabel('Only if unacknowledged after').fill('later');
    await dialog.getByRole('button', { name: 'Add', exact: true }).click();
    await dialog.getByText('expected a duration, such as 10s, 5m or 2h').waitFor();
    await dialog.getByLabel('Only if unacknowledged after').fill('15m');
    await dialog.getByLabel('Least severity').selectOption('critical');
    await dialog.getByLabel('Alarms').fill('hot, mute');
    await dialog
      .getByText(
        `aiot alarm target add phone ${url} --severity critical --alarm hot,mute --after 15m --allow-private`,
      )
      .waitFor();
    await expectAccessible(page);
    await page.screenshot({ path: shot('target-390.png') });
    await dialog.getByRole('button', { name: 'Add', exact: true }).click();
    const table = page.getByRole('table', { name: 'Targets' });
    await table.getByText('nothing sent yet').waitFor();
    expect((await client().alarmTargets.list())[0]).toMatchObject({
      ...{
        name: 'phone',
        severity: 'critical',
        alarms: ['hot', 'mute'],
        afterMs: 900_000,
        allowPrivate: true,
      },
    });

    await page.getByRole('button', { name: 'Test the target phone' }).click();
    const testing = page.getByRole('dialog', { name: 'Test phone' });
    await testing.getByRole('button', { name: 'Send' }).click();
    await testing.getByRole('alert').getByText('phone did not accept the message').waitFor();
    await expectAccessible(page);
    await testing.getByRole('button', { name: 'Send' }).click();
    await page.getByText('The test message was delivered to phone').waitFor();
    expect(posts.length).toBe(2);
    await page.setViewportSize({ width: 1280, height: 860 });
    await table.getByText('hot, mute, critical, unacknowledged after 15m').waitFor();
    await page.screenshot({ path: shot('targets-1280.png'), fullPage: true });
    await page.getByRole('button', { name: 'Remove the target phone' }).click();
    await page
      .getByRole('dialog', { name: 'Remove phone' })
      .getByText('receives no more incidents.')
      .waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
    await page.getByText('Incidents are only recorded.').waitFor();
    expect(await client().alarmTargets.list()).toEqual([]);
    expect(troubles.filter((each) => !each.includes('status of 400'))).toEqual([]);
    await page.context().close();
    server.close();
  });

  it('shows viewers and limited operators neither targets nor changes', async () => {
    const tokens = [
      await client().tokens.create({ name: 'reader', role: 'viewer' }),
      await client().tokens.create({ name: 'hall', role: 'operator', selector: 'site=hall-3' }),
    ];
    for (const { token } of tokens) {
      const { page, troubles } = await own.open('#/alarms/hot', { token });
      page.setDefaultTimeout(15_000);
      await page.getByRole('heading', { name: 'Incidents' }).waitFor();
      const actions = /^(Edit|Test|Remove|Silence|New alarm|Add a target)$/;
      expect(await page.getByRole('button', { name: actions }).count()).toBe(0);
      await page.goto(new URL('/#/alarms', own.platform.platform.urls.http).href);
      await page.getByRole('table', { name: 'Alarms' }).waitFor();
      expect(await page.getByRole('button', { name: actions }).count()).toBe(0);
      expect(await page.getByRole('heading', { name: 'Targets' }).count()).toBe(0);
      expect(troubles).toEqual([]);
      await page.context().close();
    }
  });

  it('fits a phone in dark mode', async () => {
    for (const address of ['#/alarms', '#/alarms/hot']) {
      const { page, troubles } = await own.open(address, { width: 390, dark: true });
      page.setDefaultTimeout(15_000);
      await page.getByText('hot').first().waitFor();
      await page
        .getByText(address === '#/alarms' ? 'quiet' : 'newest first')
        .first()
        .waitFor();
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
      await expectAccessible(page);
      expect(troubles).toEqual([]);
      await page.context().close();
    }
  });
});
