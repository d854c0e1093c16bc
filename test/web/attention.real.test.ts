import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Rollout } from '../../src/lib/api/rollouts/schema.js';
import { pushTiny } from '../support/bundle.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { type Answer, type FakeFleet, fakeFleet } from '../support/fake-fleet.js';
import { describeReal } from '../support/real.js';
import { oneWave } from '../support/rollout.js';

describeReal('chromium', 'problems on the overview page', () => {
  let own: Dashboard;
  let fleet: FakeFleet;
  let answer: Answer = 'commits';
  beforeAll(async () => {
    own = await dashboard();
    const { client, folder, platform } = own.platform;
    const place = { client, mqtts: platform.urls.mqtts, folder };
    fleet = await fakeFleet(place, ['bench-1', 'bench-2', 'bench-3'], (device) =>
      device === 'bench-3' ? answer : 'commits',
    );
  });
  afterAll(async () => {
    await fleet?.stop();
    await own?.stop();
  });

  async function rollOut(how: Answer, maxFailures: number): Promise<Rollout> {
    answer = how;
    const { client, key } = own.platform;
    const { version, sequence } = await pushTiny(client, key);
    const request = oneWave({ name: 'tiny', version, sequence, selector: 'name ~ bench-*' });
    return client.rollouts.start({ ...request, policy: { ...request.policy, maxFailures } });
  }

  it('lists nothing if there are no problems, and ignores devices that have never connected', async () => {
    await own.platform.client.devices.simulate({
      type: 'virtual',
      devices: [{ name: 'in-the-box', digest: '0'.repeat(64) }],
    });
    const { page, context } = await own.open('#/');
    await page.getByRole('heading', { name: 'Platform', exact: true }).waitFor();
    await page.waitForTimeout(700);
    expect(await page.getByRole('heading', { name: 'Needs attention' }).count()).toBe(0);
    await context.close();
  });

  it('lists a stopped rollout with its failed device and error until a later rollout succeeds', async () => {
    const { page, troubles } = await own.open('#/');
    page.setDefaultTimeout(15_000);
    const stopped = await rollOut('refuses', 0);
    const list = page.getByRole('list', { name: 'Needs attention' });
    const entry = list.getByRole('listitem').filter({ hasText: 'tiny@1' });
    await entry
      .getByText('1 of 3 devices of wave 1 failed; no failures are allowed in a wave of this size')
      .waitFor();
    await entry.getByText('not ours').waitFor();
    expect(await entry.getByRole('link', { name: 'tiny@1' }).getAttribute('href')).toBe(
      `#/rollouts/${stopped.id}`,
    );
    expect(await entry.getByRole('link', { name: 'bench-3' }).getAttribute('href')).toBe('#/devices/bench-3');
    await expectAccessible(page);

    const partly = await rollOut('rolls back', 3);
    const later = list.getByRole('listitem').filter({ hasText: 'tiny@2' });
    await later.getByText('2 of 3 devices committed; 1 rolled back').waitFor();
    await later.getByText('1 of 3', { exact: true }).waitFor();
    expect(await later.getByRole('link', { name: 'tiny@2' }).getAttribute('href')).toBe(
      `#/rollouts/${partly.id}`,
    );

    await own.platform.client.rollouts.command(stopped.id, 'abort');
    await rollOut('commits', 0);
    await list.waitFor({ state: 'detached' });
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('lists a device that has gone offline', async () => {
    const { page, troubles } = await own.open('#/', { width: 390, dark: true });
    page.setDefaultTimeout(15_000);
    await fleet.devices[1]?.client.endAsync(true);
    const entry = page.getByRole('list', { name: 'Needs attention' }).getByRole('listitem');
    await entry.getByText('1 device is offline').waitFor();
    expect(await entry.getByRole('link', { name: 'bench-2' }).getAttribute('href')).toBe('#/devices/bench-2');
    await expectAccessible(page);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await own.platform.client.devices.act('bench-2', 'suspend');
    await entry.waitFor({ state: 'detached' });
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('lists an unwell device with what is wrong and what to do', async () => {
    const { page, troubles } = await own.open('#/');
    page.setDefaultTimeout(15_000);
    await fleet.devices[2]?.report('IDLE', { rollout: null, vitals: { battery: { percent: 3 } } });
    const entry = page.getByRole('list', { name: 'Needs attention' }).getByRole('listitem');
    await entry.getByText('its battery is at 3 %').waitFor();
    await entry.getByText('Replace or charge the battery now.').waitFor();
    await entry.getByText('failing', { exact: true }).waitFor();
    expect(await entry.getByRole('link', { name: 'bench-3' }).getAttribute('href')).toBe('#/devices/bench-3');
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('acknowledges and snoozes a device with a note, shows both decisions, and lists the device again', async () => {
    const { page, troubles } = await own.open('#/', { width: 390 });
    page.setDefaultTimeout(15_000);
    const { attention } = own.platform.client;
    const list = page.getByRole('list', { name: 'Needs attention' });
    const entry = list.getByRole('listitem').filter({ hasText: 'bench-3' });
    await page.getByRole('button', { name: 'Acknowledge bench-3' }).press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Note for other operators').fill(' on its way ');
    await expectAccessible(page);
    await dialog.getByRole('button', { name: 'Acknowledge' }).click();
    await entry.waitFor({ state: 'detached' });
    await list.getByText('1 unwell device is acknowledged or snoozed.').waitFor();
    expect(await attention.get('bench-3')).toMatchObject({ acknowledged: { note: 'on its way' } });
    await list.getByRole('button', { name: 'Show' }).click();
    await entry.getByText(/^acknowledged by .+: on its way$/).waitFor();
    await expectAccessible(page);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);

    await page.getByRole('button', { name: 'List again: bench-3' }).click();
    await page.getByRole('button', { name: 'Snooze bench-3' }).click();
    await dialog.getByLabel('Duration').selectOption('4 hours');
    await dialog.getByRole('button', { name: 'Snooze' }).click();
    await list.getByRole('button', { name: 'Show' }).click();
    await entry.getByText(/^snoozed until .+ by /).waitFor();
    const { acknowledged, snoozed } = await attention.get('bench-3');
    expect(acknowledged).toBeNull();
    expect(snoozed!.until - snoozed!.at).toBe(4 * 3600_000);
    await page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, 'snoozed-390.png') });
    await page.getByRole('button', { name: 'List again: bench-3' }).click();
    await page.getByRole('button', { name: 'Acknowledge bench-3' }).waitFor();
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('leaves an acknowledged device out of the number of offline devices', async () => {
    const { client } = own.platform;
    await client.attention.change('bench-3', { action: 'acknowledge' });
    await fleet.devices[2]?.client.endAsync(true);
    await expect.poll(async () => (await client.devices.get('bench-3')).online).toBe(false);
    const { page, context } = await own.open('#/');
    page.setDefaultTimeout(15_000);
    await page.getByText('1 unwell device is acknowledged or snoozed.').waitFor();
    await page.waitForTimeout(700);
    expect(await page.getByText(/offline/).count()).toBe(0);
    await context.close();
  });

  it('shows the objectives that have had outcomes, and whether they are met', async () => {
    const { page, troubles, context } = await own.open('#/');
    await page.getByRole('heading', { name: 'Objectives' }).waitFor();
    const entry = page.locator('dl div').filter({ hasText: 'stored in time' });
    const text = (await entry.textContent()) ?? '';
    const [, good, total] = /in the last hour: ([\d,]+) of ([\d,]+) \(target 99 %\)$/.exec(text) ?? [];
    const [first] = (await own.platform.client.status()).objectives;
    expect(Number(total)).toBeGreaterThan(0);
    expect(Number(total)).toBeLessThanOrEqual(first?.total ?? 0);
    expect(text).toContain(Number(good) / Number(total) >= 0.99 ? 'met' : 'missed');
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await context.close();
  });
});
