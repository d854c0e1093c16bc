import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import type { Rollout } from '../../src/lib/api/rollouts/schema.js';
import { pushTiny } from '../support/bundle.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { type FakeFleet, fakeFleet } from '../support/fake-fleet.js';
import { describeReal } from '../support/real.js';
import { oneWave } from '../support/rollout.js';

const names = ['bench-1', 'bench-2', 'bench-3', 'bench-4'];

describeReal('chromium', 'rollouts and events in a browser', () => {
  let own: Dashboard;
  let fleet: FakeFleet;
  let rollout: Rollout;
  beforeAll(async () => {
    own = await dashboard();
    const { client, key, folder, platform, ca } = own.platform;
    const { version, sequence } = await pushTiny(client, key);
    const place = { client, mqtts: platform.urls.mqtts, folder };
    fleet = await fakeFleet(place, names, (device) => (device === 'bench-4' ? 'refuses' : 'commits'));
    await client.users.add({ name: 'alice', role: 'operator' });
    const { token } = await client.tokens.create({ name: 'laptop', owner: 'alice' });
    const alice = createClient({ url: platform.urls.http, ca, token });
    const request = oneWave({ name: 'tiny', version, sequence });
    const policy = { ...request.policy, waves: [1, '100%'], approval: true };
    rollout = await alice.rollouts.start({ ...request, policy });
    await alice.close();
  });
  afterAll(async () => {
    await fleet?.stop();
    await own?.stop();
  });

  it('follows a rollout from its approval to its failed devices', async () => {
    const { page, troubles } = await own.open('#/rollouts');
    page.setDefaultTimeout(15_000);
    await page.getByText('awaiting approval').waitFor();
    await expectAccessible(page);
    await page.getByRole('link', { name: 'tiny@1' }).click();
    await page.getByRole('button', { name: 'Approve', exact: true }).click();
    const dialog = page.getByRole('dialog', { name: `Approve ${rollout.id}?` });
    await dialog.getByText(`aiot rollout approve ${rollout.id}`).waitFor();
    await expectAccessible(page);
    await dialog.getByRole('button', { name: 'Approve', exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
    await page.getByText('AIOT_SIGNATURE_INVALID').waitFor();
    await page.getByRole('img', { name: '3 committed, 1 failed of 4' }).waitFor();
    expect(await page.locator('.names a').getAttribute('href')).toBe('#/devices/bench-4');
    await page.getByLabel('State', { exact: true }).selectOption('committed');
    await page
      .getByRole('table', { name: 'Devices of the rollout' })
      .getByText('bench-4')
      .waitFor({ state: 'detached' });
    expect(new URL(page.url()).hash).toContain('state=committed');
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('shows how many devices crashed after the update, and which', async () => {
    const { client, key } = own.platform;
    const { version, sequence } = await pushTiny(client, key, { seed: 1 });
    const request = oneWave({ name: 'tiny', version, sequence, selector: 'name=bench-1 or name=bench-2' });
    const policy = { ...request.policy, waves: [1, '100%' as const], soakMs: 3600_000, maxFailures: 0 };
    const { id } = await client.rollouts.start({ ...request, policy });
    const { page, troubles } = await own.open(`#/rollouts/${id}`);
    page.setDefaultTimeout(15_000);
    await page.getByRole('cell', { name: 'soaking' }).waitFor();
    expect(await page.getByRole('columnheader', { name: 'crashed' }).count()).toBe(0);
    const [updated] = await client.rollouts.devices(id, { state: 'committed' });
    const crash = { id: 'a', kind: 'watchdog' as const, reason: 'task radio hung' };
    await client.crashes.send({ device: updated?.name ?? '', crash });
    await page.getByText('1 of 1 devices of wave 1 crashed after the update').waitFor();
    await page.getByRole('columnheader', { name: 'crashed' }).waitFor();
    await page.getByLabel('State', { exact: true }).selectOption('crashed');
    const table = page.getByRole('table', { name: 'Devices of the rollout' });
    await table.getByText(updated?.name ?? '').waitFor();
    await table.getByText('crashed', { exact: true }).waitFor();
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('shows an error of the platform, and hides actions from a viewer', async () => {
    const { page } = await own.open(`#/rollouts/${rollout.id}`, { dark: true });
    page.setDefaultTimeout(15_000);
    await page.getByRole('button', { name: 'Retry', exact: true }).click();
    await page.route('**/retry', (route) =>
      route.fulfill({
        status: 409,
        contentType: 'application/problem+json',
        body: JSON.stringify({ code: 'AIOT_ROLLOUT_STATE', detail: 'not now', next: 'aiot rollout show' }),
      }),
    );
    await page.getByRole('dialog').getByRole('button', { name: 'Retry', exact: true }).click();
    await page.getByRole('alert').getByText('AIOT_ROLLOUT_STATE').waitFor();
    await expectAccessible(page);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.context().close();
    const { token } = await own.platform.client.tokens.create({ name: 'wall', role: 'viewer' });
    const viewer = await own.open(`#/rollouts/${rollout.id}`, { token, width: 390 });
    await viewer.page.getByText('AIOT_SIGNATURE_INVALID').waitFor();
    expect(await viewer.page.getByRole('button', { name: 'Retry' }).count()).toBe(0);
    expect(await viewer.page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    expect(viewer.troubles).toEqual([]);
    await viewer.context.close();
  });

  it('shows events newest first, adds new ones on top, and filters them', async () => {
    const { page, troubles } = await own.open('#/events');
    page.setDefaultTimeout(15_000);
    const table = page.getByRole('table', { name: 'Events' });
    await table.getByRole('button', { name: 'rollout.end' }).first().waitFor();
    expect(await table.getByText(/^wave 1 · /).count()).toBeGreaterThan(0);
    expect(await table.getByText(/^wave 2 · /).count()).toBeGreaterThan(0);
    expect(await table.getByText(/wave 0/).count()).toBe(0);
    await page.getByLabel('Type').fill('device.suspend');
    await page.getByLabel('Subject').fill('bench-1');
    await page.getByRole('button', { name: 'Filter' }).click();
    await page.getByRole('heading', { name: 'No matching events' }).waitFor();
    await page.getByText('aiot events tail --follow --type device.suspend --subject bench-1').waitFor();
    await own.platform.client.devices.act('bench-2', 'suspend');
    await own.platform.client.devices.act('bench-1', 'suspend');
    await table.getByRole('button', { name: 'device.suspend' }).click();
    await page
      .getByRole('dialog', { name: 'device.suspend' })
      .getByRole('link', { name: 'bench-1' })
      .waitFor();
    await expectAccessible(page);
    await page.keyboard.press('Escape');
    expect(await table.getByRole('row').count()).toBe(2);
    await table.getByRole('link', { name: 'bench-1' }).waitFor();
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.setViewportSize({ width: 390, height: 800 });
    await expectAccessible(page);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    expect(troubles).toEqual([]);
    await page.context().close();
  });
});
