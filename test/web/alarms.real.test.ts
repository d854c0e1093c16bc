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
