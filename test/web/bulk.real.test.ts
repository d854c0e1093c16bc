import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { pushFirmware } from '../../src/lib/api/firmware/push.js';
import { type RolloutPlan, rolloutPlanSchema } from '../../src/lib/api/rollouts/schema.js';
import { rehearseAll } from '../../src/lib/fleet/rehearse.js';
import { pushTiny } from '../support/bundle.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { described, espImage } from '../support/esp-image.js';
import { type FakeFleet, fakeFleet } from '../support/fake-fleet.js';
import { describeReal } from '../support/real.js';

const bench = ['bench-1', 'bench-2', 'bench-3'];

describeReal('chromium', 'bulk actions and new rollouts in a browser', () => {
  let own: Dashboard;
  let fleet: FakeFleet;
  beforeAll(async () => {
    own = await dashboard();
    const { client, key, folder, platform } = own.platform;
    await client.devices.simulate({
      type: 'simulated',
      devices: Array.from({ length: 230 }, (_, i) => ({
        name: `press-${String(i).padStart(3, '0')}`,
        digest: String(i).padStart(64, '0'),
      })),
    });
    await pushTiny(client, key, { name: 'old' });
    await pushTiny(client, key);
    const place = { client, mqtts: platform.urls.mqtts, folder };
    fleet = await fakeFleet(place, bench, () => 'commits');
  });
  afterAll(async () => {
    await fleet?.stop();
    await own?.stop();
  });

  const box = (page: Page, name: string) => page.getByRole('checkbox', { name, exact: true });
  const bar = (page: Page) => page.getByRole('region', { name: 'Selected devices' });
  const opened = async (hash: string, options: Parameters<Dashboard['open']>[1] = {}) => {
    const open = await own.open(hash, options);
    open.page.setDefaultTimeout(20_000);
    return open;
  };

  /** Counts the page's requests, and holds them until they are released. */
  const hold = async (page: Page, url: string) => {
    let count = 0;
    let first = 1;
    let waiting: (() => void)[] = [];
    await page.route(url, async (request) => {
      count++;
      if (count >= first) await new Promise<void>((resolve) => waiting.push(resolve));
      await request.continue();
    });
    return {
      arrived: (expected: number) => expect.poll(() => count, { timeout: 20_000 }).toBe(expected),
      holdFrom(index: number) {
        first = index;
      },
      release() {
        first = Number.POSITIVE_INFINITY;
        for (const resolve of waiting) resolve();
        waiting = [];
      },
    };
  };

  it('previews and sets a tag on chosen devices, and shows the result of each', async () => {
    const { client } = own.platform;
    await client.devices.patch('bench-2', { tags: { site: 'lab' } });
    const { page, context, troubles } = await opened('#/devices');
    await box(page, 'Select bench-1').check();
    await box(page, 'Select all 233 devices').waitFor();
    expect(await page.evaluate("document.querySelector('thead input').indeterminate")).toBe(true);
    await box(page, 'Select bench-3').click({ modifiers: ['Shift'] });
    await bar(page).getByText('3 devices selected').waitFor();
    await expectAccessible(page);
    await bar(page).getByRole('button', { name: 'Tags and groups' }).click();
    const dialog = page.getByRole('dialog', { name: 'Tags and groups of 3 devices' });
    await dialog.getByLabel('Tag', { exact: true }).fill('site');
    await dialog.getByLabel('Value').fill('lab');
    await dialog.getByText('aiot device tag --selector bench-1,bench-2,bench-3 site=lab').waitFor();
    await dialog.getByRole('button', { name: 'Preview' }).click();
    await dialog.getByText('2 will change, 1 unchanged').waitFor();
    await expectAccessible(page);
    expect((await client.devices.get('bench-1')).tags).toEqual({});
    await dialog.getByRole('button', { name: 'Change 2 devices' }).click();
    await dialog.getByText('2 changed, 1 unchanged').waitFor();
    const result = dialog.getByRole('table', { name: 'Result of each device' });
    await result.getByRole('row', { name: 'bench-1 changed – lab' }).waitFor();
    await result.getByRole('row', { name: 'bench-2 unchanged lab lab' }).waitFor();
    const changed = await client.devices.list('site=lab');
    expect(changed.map(({ name }) => name)).toEqual(bench);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('chooses all devices that match a selector, also those that are not in view, and reports refusals', async () => {
    const { client } = own.platform;
    await client.devices.act('press-229', 'revoke');
    const { page, context, troubles } = await opened(
      `#/devices?selector=${encodeURIComponent('type=simulated')}`,
    );
    await box(page, 'Select all 230 devices').check();
    await bar(page).getByText('230 devices selected').waitFor();
    // A device that is removed meanwhile refuses the change; the others are changed.
    await bar(page).getByRole('button', { name: 'Tags and groups' }).click();
    const dialog = page.getByRole('dialog', { name: 'Tags and groups of 230 devices' });
    await dialog.getByLabel('Change').selectOption('Add to a group');
    await dialog.getByLabel('Group').fill('hall-2');
    await dialog.getByText('aiot device group --selector type=simulated hall-2').waitFor();
    await dialog.getByRole('button', { name: 'Preview' }).click();
    await dialog.getByText('230 will change').waitFor();
    await client.devices.remove('press-229');
    await dialog.getByRole('button', { name: 'Change 230 devices' }).click();
    await dialog.getByText('229 changed, 1 refused').waitFor();
    await dialog.getByRole('row', { name: /^press-229 refused/ }).waitFor();
    await dialog.getByText('The first 200 of 230 devices').waitFor();
    expect((await client.devices.list('group=hall-2')).length).toBe(229);
    await page.keyboard.press('Escape');
    await bar(page).getByText('229 devices selected').waitFor();
    await bar(page).getByRole('button', { name: 'Clear selection' }).click();
    await bar(page).waitFor({ state: 'detached' });
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('applies only a change that was previewed', async () => {
    const { client } = own.platform;
    const { page, context, troubles } = await opened('#/devices?selector=name%3Dpress-001');
    await box(page, 'Select press-001').check();
    await bar(page).getByRole('button', { name: 'Tags and groups' }).click();
    const dialog = page.getByRole('dialog', { name: 'Tags and groups of 1 device' });
    const tag = dialog.getByLabel('Tag', { exact: true });
    const preview = dialog.getByRole('button', { name: 'Preview', exact: true });
    const edit = async (text: string) => {
      await page.evaluate(`document.getElementById('bulk-name').value = '${text}'`);
      await tag.dispatchEvent('input');
    };
    await tag.fill('previewed');
    await dialog.getByLabel('Value').fill('lab');
    const held = await hold(page, '**/devices/actions');
    await preview.click();
    await held.arrived(1);
    expect(await dialog.getByLabel('Change').isDisabled()).toBe(true);
    expect(await tag.isDisabled()).toBe(true);
    expect(await dialog.getByLabel('Value').isDisabled()).toBe(true);
    await expectAccessible(page);
    // An edit that arrives nevertheless makes the result of the preview void.
    await edit('never');
    held.release();
    await expect.poll(() => preview.isEnabled()).toBe(true);
    expect(await dialog.getByText('1 will change').count()).toBe(0);
    await tag.fill('previewed');
    await preview.click();
    await dialog.getByText('1 will change').waitFor();
    await dialog.getByRole('row', { name: 'press-001 will change – lab' }).waitFor();
    // The focus stays in the dialog, but a repeated Enter does not start the change.
    expect(await dialog.getByRole('button', { name: 'Cancel' }).and(page.locator(':focus')).count()).toBe(1);
    held.holdFrom(3);
    await dialog.getByRole('button', { name: 'Change 1 device' }).click();
    await held.arrived(3);
    expect(await tag.isDisabled()).toBe(true);
    await edit('never');
    held.release();
    await dialog.getByText('1 changed').waitFor();
    await dialog.getByRole('row', { name: 'press-001 changed – lab' }).waitFor();
    expect((await client.devices.get('press-001')).tags).toEqual({ simulated: 'yes', previewed: 'lab' });
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('stops a change when its dialog is to be closed, and says how far it came', async () => {
    const { client } = own.platform;
    const selector = 'type=simulated and not halted=yes';
    const { page, context, troubles } = await opened(`#/devices?selector=${encodeURIComponent(selector)}`);
    const previewed = async (count: number) => {
      await bar(page).getByText(`${count} devices selected`).waitFor();
      await bar(page).getByRole('button', { name: 'Tags and groups' }).click();
      await dialog.getByLabel('Tag', { exact: true }).fill('halted');
      await dialog.getByLabel('Value').fill('yes');
      await dialog.getByRole('button', { name: 'Preview' }).click();
    };
    const dialog = page.getByRole('dialog');
    await box(page, 'Select all 229 devices').check();
    const held = await hold(page, '**/devices/actions');
    // A preview changes nothing, so it can be closed at any time. No further request is sent.
    await previewed(229);
    await held.arrived(1);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    held.release();
    await previewed(229);
    await dialog.getByText('229 will change').waitFor();
    await held.arrived(6);
    held.holdFrom(8);
    await dialog.getByRole('button', { name: 'Change 229 devices' }).click();
    await held.arrived(8);
    await dialog.getByText('50 of 229 devices').waitFor();
    // At the second Escape, Chromium no longer asks the page.
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await dialog.getByText('Stopping: 50 of 229 devices').waitFor();
    expect(await dialog.getByRole('button', { name: 'Stop' }).isDisabled()).toBe(true);
    held.release();
    await dialog.getByText('Stopped. The other 129 devices have not been changed.').waitFor();
    await dialog.getByText('100 changed').waitFor();
    await expectAccessible(page);
    await held.arrived(8);
    expect((await client.devices.list('halted=yes')).length).toBe(100);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    // The result remains visible although no device matches the list's selector any more.
    await previewed(129);
    await dialog.getByText('129 will change').waitFor();
    await dialog.getByRole('button', { name: 'Change 129 devices' }).click();
    await dialog.getByText('129 changed').waitFor();
    await page.getByText('No matching devices').waitFor();
    await dialog.getByText('129 changed').waitFor();
    await dialog.getByRole('button', { name: 'Close' }).click();
    await dialog.waitFor({ state: 'detached' });
    expect((await client.devices.list('halted=yes')).length).toBe(229);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('exports the chosen devices, or all, as CSV', async () => {
    const { page, context, troubles } = await opened('#/devices?selector=site%3Dlab');
    const exported = async () => {
      const download = page.waitForEvent('download');
      await page.getByRole('button', { name: 'Export CSV' }).click();
      return (await readFile(await (await download).path(), 'utf8')).split('\r\n');
    };
    await own.platform.client.devices.patch('bench-1', { groups: ['a', 'b'], tags: { note: 'x, "y"' } });
    await page.getByText('3 devices, 3 online').waitFor();
    await expect.poll(async () => (await exported())[1]).toContain(',a b,"note=x, ""y""; site=lab"');
    expect((await exported()).length).toBe(5);
    await box(page, 'Select bench-2').check();
    const [head, line, ...rest] = await exported();
    expect(head).toBe('name,type,state,online,last_seen,model,firmware,groups,tags');
    expect(line).toMatch(/^bench-2,virtual,active,true,\d{4}-[^,]+Z,,[^,]*,,site=lab$/);
    expect(rest).toEqual(['']);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('starts a rollout on a selection, only after its plan', async () => {
    const { page, context, troubles } = await opened('#/devices?selector=site%3Dlab');
    await box(page, 'Select bench-1').check();
    await box(page, 'Select bench-3').check();
    await bar(page).getByRole('link', { name: 'New rollout' }).click();
    await page.getByRole('heading', { name: 'New rollout', level: 1 }).waitFor();
    const start = page.getByRole('button', { name: /^Start/ });
    expect(await page.getByLabel('Selector').inputValue()).toBe('bench-1,bench-3');
    expect(await page.getByLabel('Waves').inputValue()).toBe('1,10%,50%,100%');
    await expectAccessible(page);
    expect(await start.isDisabled()).toBe(true);
    // An older release needs a new signature, which only the command line can make.
    await page.getByLabel('Release').selectOption('old');
    await page.getByText('must sign it again').waitFor();
    await page.getByText('aiot rollout start --model old@1 --selector bench-1,bench-3').first().waitFor();
    expect(await page.getByRole('button', { name: 'Plan', exact: true }).isDisabled()).toBe(true);
    await page.getByLabel('Release').selectOption('tiny');
    await page.getByLabel('Waves').fill('100%,1%');
    await page.getByRole('button', { name: 'Plan', exact: true }).click();
    await page.getByRole('alert').getByText('AIOT_REQUEST_INVALID').waitFor();
    expect(await start.isDisabled()).toBe(true);
    await page.getByLabel('Waves').fill('1,100%');
    await page
      .getByText('aiot rollout start --model tiny@1 --selector bench-1,bench-3 --waves 1,100%')
      .waitFor();
    const planned = page.waitForResponse('**/rollouts/plan');
    await page.getByRole('button', { name: 'Plan', exact: true }).click();
    const plan = rolloutPlanSchema.parse(await (await planned).json());
    await page.getByText('tiny@1 would be installed on 2 devices in 2 waves.').waitFor();
    await page.getByRole('table', { name: 'Planned waves' }).getByRole('row').nth(2).waitFor();
    await expectAccessible(page);
    await expectRehearsed(page, plan, {});
    await page.getByText('every run reached all devices').waitFor();
    await page.getByLabel('Devices that fail, %').fill('60');
    await page.getByLabel('Outage of the platform, minutes').fill('1');
    await page.getByLabel('Runs').fill('');
    expect(await page.getByRole('button', { name: 'Rehearse', exact: true }).isDisabled()).toBe(true);
    await page.getByLabel('Runs').fill('40');
    await page
      .getByText('aiot rollout rehearse rollout.json --fail-rate 60% --outage 1m --runs 40')
      .waitFor();
    await page.getByRole('button', { name: 'Rehearse', exact: true }).click();
    await expectRehearsed(page, plan, { failRate: 0.6, outageMs: 60_000, runs: 40 });
    await expectAccessible(page);
    // A rehearsal that takes long does not block the page, and can be stopped.
    await page.getByLabel('Runs').fill('10000');
    await page.getByRole('button', { name: 'Rehearse', exact: true }).click();
    await page.getByRole('button', { name: /^Stop after [1-9]/ }).click();
    await page.getByRole('button', { name: 'Rehearse', exact: true }).waitFor();
    expect(await own.platform.client.rollouts.list()).toEqual([]);
    // A change invalidates the plan.
    await page.getByLabel('Soak time, minutes').fill('0.01');
    expect(await start.isDisabled()).toBe(true);
    await page.getByRole('button', { name: 'Plan', exact: true }).click();
    await page.getByRole('button', { name: 'Start on 2 devices' }).click();
    await page.getByRole('img', { name: '2 committed of 2' }).first().waitFor();
    const [rollout] = await own.platform.client.rollouts.list();
    expect(new URL(page.url()).hash).toBe(`#/rollouts/${rollout?.id}`);
    expect(rollout?.policy).toMatchObject({ waves: [1, '100%'], maxFailures: '5%', soakMs: 600 });
    expect(troubles.filter((trouble) => !trouble.includes('400'))).toEqual([]);
    await context.close();
  });

  /** Expects the results of a rehearsal that the command line computes from the same plan. */
  async function expectRehearsed(
    page: Page,
    plan: RolloutPlan,
    { failRate = 0, outageMs = 0, runs = 20 }: { failRate?: number; outageMs?: number; runs?: number },
  ) {
    const network = { seed: 1, loss: 0.01, latencyMs: [20, 200] as const, offline: 0.02, failRate };
    const expected = await rehearseAll(plan, {
      ...{ runs, outageMs, bytes: 250_000 },
      network: { ...network, powerCuts: 0.01, bytesPerSecond: 50_000 },
    });
    await page.getByText(`2 devices, rehearsed ${runs} times:`).waitFor();
    const table = page.getByRole('table', { name: 'Results of the rehearsal' });
    const row = (name: string) => table.getByRole('row').filter({ hasText: name }).getByRole('cell');
    const [tried, failed] = [row('devices that tried'), row('devices that failed')];
    expect(await tried.allInnerTexts()).toEqual(figures(expected.tried));
    expect(await failed.allInnerTexts()).toEqual(figures(expected.failed));
  }

  const figures = ({ p50, p90, max }: { p50: number; p90: number; max: number }) =>
    [p50, p90, max].map(String);

  it('does not start if the selector matches other devices by then', async () => {
    const { client } = own.platform;
    const { page, context } = await opened('#/rollouts/new?model=tiny@1&selector=site%3Dlab');
    await page.getByRole('button', { name: 'Plan', exact: true }).click();
    await page.getByRole('button', { name: 'Start on 3 devices' }).waitFor();
    const before = (await client.rollouts.list()).length;
    await client.devices.patch('bench-3', { tags: { site: 'attic' } });
    await page.getByRole('button', { name: 'Start on 3 devices' }).click();
    await page.getByRole('alert').getByText('AIOT_ROLLOUT_PLAN').waitFor();
    expect(await page.getByRole('button', { name: 'Start', exact: true }).isDisabled()).toBe(true);
    await page.getByRole('button', { name: 'Plan', exact: true }).click();
    await page.getByRole('button', { name: 'Start on 2 devices' }).waitFor();
    expect((await client.rollouts.list()).length).toBe(before);
    await context.close();
  });

  it('rolls out firmware', async () => {
    const { client, key, folder } = own.platform;
    const path = join(folder, 'pump.bin');
    const image = { starts: described('pump', '1.2.0'), bytes: 60_000, address: 0x3c00_0020 };
    await writeFile(path, espImage({ chip: 'esp32s3', ...image }));
    await pushFirmware({ client, privatePem: key, path, deviceTypes: ['virtual'] });
    const { page, context, troubles } = await opened('#/rollouts');
    await page.getByRole('link', { name: 'New rollout' }).click();
    await page.getByLabel('Release').selectOption('firmware pump');
    await page.getByLabel('Selector').fill('name=bench-2');
    await page.getByLabel('Approval by another person').selectOption('true');
    await page.getByText('aiot rollout start --firmware pump@1 --selector name=bench-2 --approval').waitFor();
    await page.getByRole('button', { name: 'Plan', exact: true }).click();
    await page.getByText('pump@1 would be installed on 1 device in 1 wave.').waitFor();
    await page.getByRole('button', { name: 'Start on 1 device' }).click();
    await page.getByText('awaiting approval').waitFor();
    const [rollout] = await client.rollouts.list();
    expect(rollout?.releases).toMatchObject([{ kind: 'firmware', name: 'pump', version: 1 }]);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('starts only the release that was planned', async () => {
    const { client } = own.platform;
    const before = (await client.rollouts.list()).length;
    const { page, context, troubles } = await opened('#/rollouts/new?model=tiny@1&selector=name%3Dbench-2');
    const planIt = page.getByRole('button', { name: 'Plan', exact: true });
    const start = page.getByRole('button', { name: /^Start/ });
    const held = await hold(page, '**/rollouts/plan');
    await planIt.click();
    await held.arrived(1);
    await page.getByLabel('Release').selectOption('firmware pump');
    held.release();
    await expect.poll(() => planIt.isEnabled()).toBe(true);
    expect(await page.getByText('would be installed').count()).toBe(0);
    expect(await start.isDisabled()).toBe(true);
    await planIt.click();
    await page.getByText('pump@1 would be installed on 1 device in 1 wave.').waitFor();
    expect(await start.isEnabled()).toBe(true);
    expect((await client.rollouts.list()).length).toBe(before);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('offers viewers neither, and the platform refuses both', async () => {
    const { client, platform, ca } = own.platform;
    const { token } = await client.tokens.create({ name: 'wall', role: 'viewer' });
    const { page, context, troubles } = await opened('#/devices?selector=type%3Dvirtual', {
      token,
      width: 390,
      dark: true,
    });
    await page.getByRole('link', { name: 'bench-1' }).waitFor();
    expect(await page.getByRole('checkbox').count()).toBe(0);
    await page.evaluate("location.hash = '#/rollouts/new?model=tiny@1&selector=all'");
    await page.getByText('Your token does not permit rollouts').waitFor();
    expect(await page.getByRole('button', { name: /Plan|Rehearse|Start/ }).count()).toBe(0);
    await expectAccessible(page);
    await page.evaluate("location.hash = '#/rollouts'");
    await page.getByRole('heading', { name: 'Rollouts', level: 1 }).waitFor();
    expect(await page.getByRole('link', { name: 'New rollout' }).count()).toBe(0);
    expect(troubles).toEqual([]);
    await context.close();
    const viewer = createClient({ url: platform.urls.http, ca, token });
    const change = { action: 'tag' as const, set: { site: 'mine' }, remove: [] };
    await expect(viewer.devices.change(['bench-1'], change)).rejects.toMatchObject({
      code: 'AIOT_NOT_ALLOWED',
    });
    const request = {
      releases: [{ kind: 'model' as const, name: 'tiny', version: 1, sequence: 2 }],
      selector: 'all',
    };
    await expect(viewer.rollouts.start(request)).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    await expect(viewer.rollouts.plan(request)).rejects.toMatchObject({ code: 'AIOT_NOT_ALLOWED' });
    await viewer.close();
    expect((await client.devices.get('bench-1')).tags.site).toBe('lab');
  });
});
