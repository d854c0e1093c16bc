import { afterAll, beforeAll, expect, it } from 'vitest';
import { pushTiny } from '../support/bundle.js';
import { type Dashboard, type DashboardPage, dashboard, expectAccessible } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';
import { oneWave } from '../support/rollout.js';

describeReal('chromium', 'command palette', () => {
  let own: Dashboard;
  let rollout: string;
  beforeAll(async () => {
    own = await dashboard();
    const { client, key } = own.platform;
    const names = Array.from({ length: 60 }, (_, i) => `Press-${i + 1}`);
    const devices = [...names, 'fan-1', 'fan-2'].map((name, i) => ({
      name,
      digest: String(i).padStart(64, '0'),
    }));
    await client.devices.simulate({ type: 'virtual', devices });
    const { version, sequence } = await pushTiny(client, key);
    const request = oneWave({ name: 'tiny', version, sequence, selector: 'name=fan-1' });
    ({ id: rollout } = await client.rollouts.start(request));
    await pushTiny(client, key, { seed: 1 });
  });
  afterAll(() => own?.stop());

  const field = ({ page }: DashboardPage) => page.getByRole('combobox', { name: /^Search devices/ });
  const options = ({ page }: DashboardPage) => page.getByRole('option');
  const hash = ({ page }: DashboardPage) => new URL(page.url()).hash;
  const opened = async (at = '#/', options: Parameters<Dashboard['open']>[1] = {}) => {
    const open = await own.open(at, options);
    open.page.setDefaultTimeout(15_000);
    await open.page.getByRole('heading', { level: 1 }).waitFor();
    await open.page.keyboard.press('Control+k');
    await field(open).waitFor();
    return open;
  };
  /** Types a text, and waits until the search has ended. */
  const type = async (open: DashboardPage, text: string) => {
    await field(open).fill(text);
    await open.page
      .getByRole('dialog')
      .getByRole('status')
      .getByText('Searching')
      .waitFor({ state: 'detached' });
  };

  it('opens pages by keyboard alone, closes with Escape, and returns the focus', async () => {
    const open = await opened();
    const { page, context, troubles } = open;
    await expectAccessible(page);
    expect(await page.evaluate("document.activeElement?.getAttribute('role')")).toBe('combobox');
    expect(await page.getByRole('group', { name: 'Pages' }).getByRole('option').count()).toBeGreaterThan(10);
    await page.keyboard.type('ala');
    await page.getByRole('status').getByText('2 results.').waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Alarms', level: 1 }).waitFor();
    await page.waitForFunction("document.activeElement?.id === 'main'");
    await page.getByRole('button', { name: /^Search/ }).focus();
    await page.keyboard.press('Meta+k');
    await field(open).waitFor();
    await page.keyboard.press('Escape');
    // The browser hides the dialog and returns the focus before the page learns that it is closed.
    await page.locator('dialog').waitFor({ state: 'detached' });
    await page.waitForFunction("document.activeElement?.className === 'search'");
    await page.keyboard.press('Enter');
    await field(open).waitFor();
    await page.keyboard.press('Control+k');
    await field(open).waitFor({ state: 'detached' });
    expect(hash(open)).toBe('#/alarms');
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('finds devices of a large fleet in either case, and moves with the arrow keys', async () => {
    const open = await opened();
    const { page, context, troubles } = open;
    await type(open, 'PRESS-1');
    const devices = page.getByRole('group', { name: 'Devices' }).getByRole('option');
    await expect.poll(() => devices.count()).toBe(9);
    await page.getByRole('option', { name: 'Press-1 virtual' }).waitFor();
    expect(await devices.first().textContent()).toMatch(/^Press-1virtual/);
    expect(await devices.first().getAttribute('aria-selected')).toBe('true');
    await page.keyboard.press('ArrowDown');
    const second = devices.nth(1);
    expect(await second.getAttribute('aria-selected')).toBe('true');
    expect(await field(open).getAttribute('aria-activedescendant')).toBe(await second.getAttribute('id'));
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('ArrowUp');
    expect(await options(open).last().getAttribute('aria-selected')).toBe('true');
    await expectAccessible(page);
    await devices.getByText('All devices with this name').click();
    await page.getByText('11 devices').waitFor();
    await page.keyboard.press('Control+k');
    await field(open).waitFor();
    // Enter waits for the devices.
    await page.keyboard.type('press-42');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Press-42', level: 1 }).waitFor();
    await page.keyboard.press('Control+k');
    await type(open, 'name~"fan-*"');
    await page.keyboard.press('Enter');
    await page.getByText('2 devices').waitFor();
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('finds models, their versions and rollouts', async () => {
    const open = await opened();
    const { page, context, troubles } = open;
    await type(open, 'tiny');
    await page.getByRole('option', { name: 'tiny latest @2' }).waitFor();
    await page.getByRole('option', { name: /^tiny@1 (running|scheduled), name=fan-1/ }).waitFor();
    await type(open, 'tiny@1');
    await page
      .getByRole('group', { name: 'Models' })
      .getByRole('option', { name: /^tiny@1/ })
      .click();
    await page.getByRole('heading', { name: 'tiny@1', level: 1 }).waitFor();
    await page.keyboard.press('Control+k');
    await type(open, rollout);
    await page.keyboard.press('Enter');
    await page.getByText(`aiot rollout show ${rollout}`).waitFor();
    await page.keyboard.press('Control+k');
    await type(open, 'no such thing');
    await page.getByText('No matches').waitFor();
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('asks before an action on a device or a rollout, and runs it', async () => {
    const open = await opened();
    const { page, context, troubles } = open;
    const { client } = own.platform;
    await type(open, 'susp fan-2');
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Suspend fan-2?' });
    await dialog.getByText('aiot device suspend fan-2').waitFor();
    await page.keyboard.press('Control+k');
    expect(await field(open).count()).toBe(0);
    expect(hash(open)).toBe('#/devices/fan-2');
    expect((await client.devices.get('fan-2')).state).not.toBe('suspended');
    await dialog.getByRole('button', { name: 'Suspend', exact: true }).press('Enter');
    await dialog.waitFor({ state: 'detached' });
    await expect.poll(async () => (await client.devices.get('fan-2')).state).toBe('suspended');
    await page.getByRole('button', { name: 'Resume' }).waitFor();
    await page.keyboard.press('Control+k');
    await type(open, 'fan-2');
    await page.getByRole('option', { name: 'Resume fan-2' }).waitFor();
    expect(await page.getByRole('option', { name: 'Suspend fan-2' }).count()).toBe(0);
    await type(open, 'abort tiny');
    await page.keyboard.press('Enter');
    const abort = page.getByRole('dialog', { name: `Abort ${rollout}?` });
    await abort.getByRole('button', { name: 'Abort', exact: true }).press('Enter');
    await expect.poll(async () => (await client.rollouts.get(rollout)).state).toBe('aborted');
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('offers viewers no changes, and only the devices of their token; it fits on a phone', async () => {
    const { token } = await own.platform.client.tokens.create({
      ...{ name: 'fans', role: 'viewer', selector: 'name=fan-1' },
    });
    const open = await opened('#/devices', { token, width: 390, dark: true });
    const { page, context, troubles } = open;
    const actions = page.getByRole('group', { name: 'Actions' }).getByRole('option');
    expect(await actions.allInnerTexts()).toEqual(['Log out']);
    await type(open, 'fan');
    await page.getByRole('option', { name: /^fan-1 virtual/ }).waitFor();
    expect(await page.getByRole('option', { name: /fan-2|Suspend|Abort/ }).count()).toBe(0);
    await expectAccessible(page);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await page.getByRole('button', { name: 'Close' }).click();
    await field(open).waitFor({ state: 'detached' });
    // The address of an action opens no dialog either.
    await page.evaluate("location.hash = '#/devices/fan-1?ask=suspend'");
    await page.getByRole('heading', { name: 'fan-1', level: 1 }).waitFor();
    expect(await page.getByRole('dialog').count()).toBe(0);
    // The overview asks for nothing that this token may not read.
    await page.evaluate("location.hash = '#/'");
    await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor();
    await page.waitForLoadState('networkidle');
    expect(troubles).toEqual([]);
    await context.close();
  });
});
