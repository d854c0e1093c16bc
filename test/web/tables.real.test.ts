import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Dashboard, type DashboardPage, dashboard, expectAccessible } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'dashboard tables', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard();
    const { client } = own.platform;
    await client.devices.simulate({
      type: 'virtual',
      devices: ['line-10', 'line-9', 'press-1', 'press-2', 'fan-1', 'fan-2', 'fan-3'].map((name, i) => ({
        name,
        digest: String(i).padStart(64, '0'),
      })),
    });
    await client.devices.act('press-2', 'suspend');
  });
  afterAll(() => own.stop());

  const names = ({ page }: DashboardPage) => page.getByRole('table', { name: 'Devices' }).getByRole('link');
  const query = ({ page }: DashboardPage) =>
    new URLSearchParams(new URL(page.url()).hash.split('?')[1] ?? '');

  it('sort by every column, by click and by keyboard, and announce the order', async () => {
    const open = await own.open('#/devices');
    const { page, context, troubles } = open;
    await names(open).first().waitFor();
    const headings = page.getByRole('columnheader');
    for (const heading of await headings.all()) {
      await heading.getByRole('button').click();
      expect(await heading.getAttribute('aria-sort')).toBe('ascending');
      expect(await page.locator('[aria-sort]').count()).toBe(1);
    }
    const name = page.getByRole('columnheader', { name: 'name' });
    await name.getByRole('button').focus();
    await page.keyboard.press('Enter');
    expect(await names(open).allTextContents()).toEqual([
      ...['fan-1', 'fan-2', 'fan-3', 'line-9', 'line-10', 'press-1', 'press-2'],
    ]);
    await page.keyboard.press('Space');
    expect(await name.getAttribute('aria-sort')).toBe('descending');
    expect(await names(open).first().textContent()).toBe('press-2');
    await expectAccessible(page);
    await page.keyboard.press('Enter');
    expect(await name.getAttribute('aria-sort')).toBeNull();
    // A column of buttons has no order.
    await page.goto(`${own.platform.platform.urls.http}/#/access?sort-logins=action`);
    const logins = page.getByRole('table', { name: 'Logins' });
    const action = logins.getByRole('columnheader', { name: 'action' });
    await action.waitFor();
    expect(await action.getByRole('button').count()).toBe(0);
    expect(await page.locator('[aria-sort]').count()).toBe(0);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('keep sort and filter in the address, through a reload and the back button', async () => {
    const open = await own.open('#/devices');
    const { page, context, troubles } = open;
    await page.getByLabel('Selector').fill('name ~ press-*');
    await page.getByRole('button', { name: 'Filter' }).click();
    await page.getByText('2 devices').waitFor();
    await page.getByRole('button', { name: 'state' }).click();
    await page.getByRole('button', { name: 'state' }).click();
    expect(Object.fromEntries(query(open))).toEqual({ selector: 'name ~ press-*', sort: '-state' });
    expect(await names(open).allTextContents()).toEqual(['press-2', 'press-1']);

    await page.reload();
    await names(open).first().waitFor();
    await page.getByText('2 devices').waitFor();
    expect(await names(open).allTextContents()).toEqual(['press-2', 'press-1']);
    await page.getByRole('link', { name: 'press-1' }).click();
    await page.getByRole('heading', { name: 'press-1', level: 1 }).waitFor();
    await page.goBack();
    await page.getByText('2 devices').waitFor();
    expect(await names(open).allTextContents()).toEqual(['press-2', 'press-1']);
    await page.getByRole('link', { name: 'Map' }).click();
    await page.getByLabel('Color by').selectOption('state');
    expect(query(open).get('by')).toBe('state');
    expect(query(open).get('selector')).toBe('name ~ press-*');
    await page.goBack();
    await names(open).first().waitFor();
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('show times in the reader’s locale, and the exact time with its zone on hover', async () => {
    const { page, context } = await own.open('#/events');
    const time = page.getByRole('table', { name: 'Events' }).locator('time').first();
    await time.waitFor();
    expect(await time.getAttribute('title')).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$/);
    expect(await time.getAttribute('datetime')).toBe(await time.getAttribute('title'));
    expect(await time.textContent()).toMatch(/^\d\d:\d\d:\d\d$/);
    await context.close();
    const american = await own.browser.newContext({
      ...{ ignoreHTTPSErrors: true, locale: 'en-US', timezoneId: 'America/New_York' },
    });
    const other = await american.newPage();
    await other.goto((await own.platform.platform.loginLink(own.platform.token)) ?? '');
    await other.getByRole('link', { name: 'Events' }).click();
    const there = other.getByRole('table', { name: 'Events' }).locator('time').first();
    await there.waitFor();
    expect(await there.textContent()).toMatch(/\d{1,2}:\d\d:\d\d.[AP]M$/);
    expect(await there.getAttribute('title')).toMatch(/-0[45]:00$/);
    await american.close();
  });
});
