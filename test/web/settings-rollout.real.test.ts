import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { Pump, pumpSchema } from '../support/pump.js';
import { describeReal } from '../support/real.js';

const names = ['pump-1', 'pump-2', 'pump-3'];

describeReal('chromium', 'rollouts of settings in a browser', () => {
  let own: Dashboard;
  const pumps: Pump[] = [];
  beforeAll(async () => {
    own = await dashboard();
    const { client, folder, platform } = own.platform;
    for (const name of names) {
      await provisionDevice({ client, name, type: 'pump', out: join(folder, name) });
      pumps.push(await Pump.connect(platform.urls.mqtts, join(folder, name)));
    }
  });
  afterAll(async () => {
    for (const pump of pumps) await pump.end();
    await own?.stop();
  });

  it('start from a selection, show an error at its field, and go on beside the form', async () => {
    const { client } = own.platform;
    const { page, context, troubles } = await own.open('#/rollouts/settings');
    page.setDefaultTimeout(20_000);
    await page.getByRole('heading', { name: 'No settings yet' }).waitFor();
    const { properties } = pumpSchema;
    const schema = {
      ...pumpSchema,
      properties: { ...properties, site: { type: 'string', pattern: '^hall' } },
    };
    await client.settings.apply({ project: 'pumps', settings: [{ type: 'pump', schema }] });
    await client.settings.change('pump-2', { set: { site: 'hall 9' } });
    await page.evaluate("location.hash = '#/devices'");
    await page.getByRole('checkbox', { name: 'Select pump-1', exact: true }).check();
    await page.getByRole('checkbox', { name: 'Select pump-2', exact: true }).check();
    await page.getByRole('link', { name: 'Roll out settings' }).click();

    const rpm = page.getByLabel('rpm (optional)');
    const plan = page.getByRole('button', { name: 'Plan', exact: true });
    await rpm.waitFor();
    expect(await plan.isDisabled()).toBe(true);
    // The browser's check.
    await rpm.fill('9000');
    await page.getByLabel('Waves').fill('');
    await plan.press('Enter');
    await page.getByText('Value must be less than or equal to 3000.').waitFor();
    expect(await rpm.getAttribute('aria-invalid')).toBe('true');
    expect(await page.evaluate('document.activeElement.id')).toBe('setting-rpm');
    expect(await page.getByLabel('Waves').getAttribute('aria-invalid')).toBe('true');
    await expectAccessible(page);
    // The platform's check, which knows patterns and each device's other settings.
    await rpm.fill('1200');
    await page.getByLabel('Waves').fill('1,100%');
    const site = page.getByLabel('site (optional)');
    await site.fill('attic');
    await plan.click();
    await page.getByText(/^pump-1: settings\.site: must match pattern/).waitFor();
    expect(await site.getAttribute('aria-invalid')).toBe('true');
    expect(await page.getByRole('alert').count()).toBe(0);
    await page.getByRole('checkbox', { name: 'Remove the overrides of site' }).check();
    expect(await site.isDisabled()).toBe(true);
    await page.getByLabel('report.everyS (optional)').fill('30');
    await page.getByLabel('If too many devices fail').selectOption('restore the former settings');
    const line = 'rpm=1200 report.everyS=30 site- --selector pump-1,pump-2 --type pump --waves 1,100%';
    await page.getByText(`aiot device settings deploy ${line} --on-failure rollback`).waitFor();
    await plan.click();
    await page.getByText('would be applied to 2 devices in 2 waves.').waitFor();
    // The rehearsal has only the conditions that settings depend on.
    const rehearsal = page.getByRole('table', { name: 'Results of the rehearsal' });
    await rehearsal.waitFor();
    await page.getByText('2 devices, rehearsed 20 times: every run reached all devices').waitFor();
    expect(await page.getByLabel('Download rate, kB/s').count()).toBe(0);
    // The whole form is visible.
    expect(
      await page
        .locator('fieldset')
        .first()
        .evaluate((form) => form.scrollHeight - form.clientHeight),
    ).toBe(0);
    await page.getByLabel('Devices that fail, %').fill('100');
    await page.getByRole('button', { name: 'Rehearse', exact: true }).click();
    await page.getByText('100 % of the runs had problems').waitFor();
    await page.getByText('aiot rollout rehearse rollout.json --fail-rate 100%').waitFor();
    await expectAccessible(page);
    await page.screenshot({ path: shot('settings-plan'), fullPage: true });
    expect(await client.rollouts.list()).toEqual([]);

    await page.getByRole('button', { name: 'Start on 2 devices' }).press('Enter');
    const started = page.getByRole('region', { name: 'Started rollout' });
    await started.getByRole('img', { name: '2 committed of 2' }).waitFor();
    await started.getByText('done', { exact: true }).first().waitFor();
    expect((await client.settings.of('pump-2')).own).toEqual({ rpm: 1200, report: { everyS: 30 } });
    expect((await client.settings.of('pump-3')).own).toEqual({});
    expect((await client.rollouts.list())[0]?.policy).toMatchObject({
      ...{ waves: [1, '100%'], onFailure: 'rollback', maxFailures: '5%' },
    });
    await expectAccessible(page);
    await page.screenshot({ path: shot('settings-started'), fullPage: true });
    // The address shows the same rollout.
    await page.reload();
    await started.getByRole('button', { name: 'Roll back' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Roll back' }).click();
    await expect.poll(async () => (await client.settings.of('pump-2')).own).toEqual({ site: 'hall 9' });
    expect(troubles.filter((trouble) => !trouble.includes('status of 400'))).toEqual([]);
    await context.close();
  });

  it('start once although the response is lost, and show no error of an earlier request', async () => {
    const { client } = own.platform;
    const { properties } = pumpSchema;
    const steps = { type: 'array', items: { type: 'integer' } };
    const schema = {
      ...pumpSchema,
      properties: { ...properties, steps, site: { type: 'string', pattern: '^hall' } },
    };
    await client.settings.apply({ project: 'pumps', settings: [{ type: 'pump', schema }] });
    const { page, context } = await own.open('#/rollouts/settings?type=pump&selector=pump-3');
    page.setDefaultTimeout(20_000);
    const before = (await client.rollouts.list()).length;
    const [plan, site] = [page.getByRole('button', { name: 'Plan', exact: true }), page.getByLabel('site (')];
    // The field is corrected while the request runs.
    let release = () => {};
    await page.route('**/rollouts/plan', async (request) => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      await request.continue();
    });
    await site.fill('attic');
    const planned = page.waitForResponse('**/rollouts/plan');
    const asked = page.waitForRequest('**/rollouts/plan');
    await plan.click();
    await asked;
    await site.fill('hall 3');
    release();
    expect((await planned).status()).toBe(400);
    await expect.poll(() => plan.isEnabled()).toBe(true);
    expect(await site.getAttribute('aria-invalid')).toBeNull();
    expect(await page.getByRole('alert').count()).toBe(0);
    await page.unroute('**/rollouts/plan');
    // An element of a list is invalid.
    const list = page.getByLabel('steps (optional)');
    await list.fill('[1, "two"]');
    await plan.click();
    await page.getByText(/settings\.steps/).waitFor();
    expect(await list.getAttribute('aria-invalid')).toBe('true');
    expect(await page.getByRole('alert').count()).toBe(0);
    await list.fill('[1, 2]');
    await plan.click();
    // The platform starts the rollout, but the page does not hear of it.
    const keys: (string | undefined)[] = [];
    let isLost = true;
    await page.route('**/api/v1/rollouts', async (request) => {
      if (request.request().method() !== 'POST') return request.continue();
      keys.push(request.request().headers()['idempotency-key']);
      if (!isLost) return request.continue();
      await request.fetch();
      expect(await site.isDisabled()).toBe(true);
      isLost = false;
      await request.abort();
    });
    const start = page.getByRole('button', { name: 'Start on 1 device' });
    await start.click();
    await page.getByRole('alert').getByText('AIOT_PLATFORM_UNREACHABLE').waitFor();
    expect(await site.isDisabled()).toBe(false);
    await start.click();
    await page.getByRole('region', { name: 'Started rollout' }).waitFor();
    expect(keys).toEqual([keys[0], keys[0]]);
    expect((await client.rollouts.list()).length).toBe(before + 1);
    await context.close();
  });

  it('are hidden from viewers, and fit a phone', async () => {
    const { client } = own.platform;
    const { token } = await client.tokens.create({ name: 'wall', role: 'viewer' });
    const hash = '#/rollouts/settings?type=pump&selector=all';
    const viewer = await own.open(hash, { token });
    await viewer.page.getByText('Your token does not permit rollouts').waitFor();
    expect(await viewer.page.getByRole('button', { name: 'Plan', exact: true }).count()).toBe(0);
    await viewer.context.close();
    const { page, context, troubles } = await own.open(hash, { width: 390, dark: true });
    await page.getByLabel('rpm (optional)').fill('700');
    await page.getByRole('button', { name: 'Plan', exact: true }).click();
    await page.getByText('would be applied to 3 devices').waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    await expectAccessible(page);
    await page.screenshot({ path: shot('settings-phone'), fullPage: true });
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('are limited to the devices that an operator may reach', async () => {
    const { client } = own.platform;
    await client.settings.apply({
      project: 'valves',
      settings: [{ type: 'valve', schema: { type: 'object' } }],
    });
    const reach = { name: 'one', role: 'operator' as const, selector: 'name=pump-3' };
    const { token } = await client.tokens.create(reach);
    const { page, context, troubles } = await own.open('#/rollouts', { token });
    page.setDefaultTimeout(20_000);
    await page.getByRole('link', { name: 'Roll out settings' }).click();
    expect(await page.getByLabel('Device type').locator('option').allTextContents()).toEqual(['pump']);
    await page.getByLabel('Selector').fill('all');
    await page.getByLabel('rpm (optional)').fill('650');
    await page.getByRole('button', { name: 'Plan', exact: true }).click();
    await page.getByText('would be applied to 1 device in 1 wave.').waitFor();
    await page.getByRole('button', { name: 'Start on 1 device' }).click();
    await page
      .getByRole('region', { name: 'Started rollout' })
      .getByText('done', { exact: true })
      .first()
      .waitFor();
    expect((await client.settings.of('pump-3')).own).toMatchObject({ rpm: 650 });
    expect((await client.settings.of('pump-1')).own).not.toMatchObject({ rpm: 650 });
    expect(troubles).toEqual([]);
    await context.close();
  });

  const shot = (name: string) => join(process.env.SHOTS ?? own.platform.folder, `${name}.png`);
});
