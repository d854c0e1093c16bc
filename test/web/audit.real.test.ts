import { afterAll, beforeAll, expect, it } from 'vitest';
import { createClient } from '../../src/lib/api/client.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the audit page', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard();
    const { client, ca, platform } = own.platform;
    await client.users.add({ name: 'ada', role: 'viewer' });
    const { token } = await client.tokens.create({ name: 'reader', role: 'viewer' });
    const viewer = createClient({ url: platform.urls.http, ca, token });
    for (let i = 0; i < 3; i++)
      await expect(viewer.users.add({ name: 'eve', role: 'operator' })).rejects.toThrow();
    await viewer.close();
  });
  afterAll(() => own?.stop());

  it('lists changes with their authors as they happen, and denied attempts separately', async () => {
    const { page, troubles } = await own.open('#/audit');
    page.setDefaultTimeout(15_000);
    const table = page.getByRole('table', { name: 'Audit log' });
    await table.getByText('user.add').waitFor();
    await table.getByText('reason not allowed').waitFor();
    await table.getByRole('columnheader', { name: 'user' }).waitFor();
    await expectAccessible(page);
    await own.platform.client.users.add({ name: 'grace', role: 'viewer' });
    await table.getByText('grace').waitFor();

    await page.getByRole('button', { name: 'Denied attempts' }).click();
    await table.getByText('user.add').waitFor({ state: 'detached' });
    expect(page.url()).toContain('only=denied');
    await table.getByText('reason not allowed').waitFor();
    await page.getByText('aiot audit verify').first().waitFor();
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('fits a phone in dark mode', async () => {
    const { page, troubles } = await own.open('#/audit', { width: 390, dark: true });
    page.setDefaultTimeout(15_000);
    await page.getByRole('table', { name: 'Audit log' }).getByText('user.add').first().waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await page.context().close();
  });
});
