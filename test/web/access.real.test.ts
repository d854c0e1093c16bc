import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the access page', () => {
  let own: Dashboard;
  let ada = '';
  beforeAll(async () => {
    own = await dashboard();
    const { client } = own.platform;
    await client.users.add({ name: 'ada', role: 'viewer' });
    ada = (await client.tokens.create({ name: 'laptop', owner: 'ada' })).token;
  });
  afterAll(() => own?.stop());

  it('lists logins and ends one, whose browser then shows the login page', async () => {
    const theirs = await own.open('#/', { token: ada });
    const { page, troubles } = await own.open('#/access');
    page.setDefaultTimeout(30_000);
    const table = page.getByRole('table', { name: 'Logins' });
    const row = table.getByRole('row').filter({ hasText: 'ada' });
    await row.getByText('dashboard').waitFor();
    await row.getByText('127.0.0.1').waitFor();
    await table.getByRole('row').filter({ hasText: 'this browser' }).waitFor();
    await expectAccessible(page);
    await row.getByRole('button', { name: /^End the login ses_/ }).click();
    const dialog = page.getByRole('dialog', { name: 'End the login of ada' });
    await dialog.getByText(/aiot session revoke ses_/).waitFor();
    await dialog.getByRole('button', { name: 'End', exact: true }).click();
    await row.waitFor({ state: 'detached' });
    await theirs.page
      .getByRole('navigation', { name: 'Pages' })
      .waitFor({ state: 'detached', timeout: 30_000 });
    await theirs.page.getByRole('heading', { name: 'aiot' }).waitFor({ timeout: 30_000 });
    expect(troubles).toEqual([]);
    await theirs.context.close();
    await page.context().close();
  });

  it('shows a viewer their own logins and tokens only', async () => {
    const { page, troubles } = await own.open('#/access', { token: ada, width: 390, dark: true });
    page.setDefaultTimeout(30_000);
    await page.getByRole('table', { name: 'Logins' }).getByText('this browser').waitFor();
    const tokens = page.getByRole('table', { name: 'Tokens' });
    await tokens.getByText('laptop').waitFor();
    expect(await tokens.getByRole('button', { name: /^Revoke the token/ }).count()).toBe(1);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('revokes a token', async () => {
    const { client } = own.platform;
    const { id } = await client.tokens.create({ name: 'old-laptop', owner: 'ada' });
    const { page, troubles } = await own.open('#/access');
    page.setDefaultTimeout(30_000);
    await page.getByRole('button', { name: `Revoke the token ${id}` }).click();
    const dialog = page.getByRole('dialog', { name: 'Revoke the token old-laptop' });
    await dialog.getByRole('button', { name: 'Revoke', exact: true }).click();
    const row = page
      .getByRole('table', { name: 'Tokens' })
      .getByRole('row')
      .filter({ hasText: 'old-laptop' });
    await row.getByText('revoked').waitFor();
    expect((await client.tokens.get(id)).state).toBe('revoked');
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('ends the own login', async () => {
    const { page } = await own.open('#/access');
    page.setDefaultTimeout(30_000);
    const row = page.getByRole('row').filter({ hasText: 'this browser' });
    await row.getByRole('button', { name: /^End the login/ }).click();
    await page.getByRole('dialog').getByText('You must log in again.').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'End', exact: true }).click();
    await page.getByRole('navigation', { name: 'Pages' }).waitFor({ state: 'detached' });
    await page.context().close();
  });
});
