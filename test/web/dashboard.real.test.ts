import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the dashboard in a browser', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard();
  });
  afterAll(() => own.stop());

  it('logs in by a link, which then is in no history, and by a token', async () => {
    const { page, troubles } = await own.open('#/');
    await page.getByRole('heading', { name: 'First steps' }).waitFor();
    expect(page.url()).not.toContain('login');
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('Or with a token').fill(own.platform.token);
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('heading', { name: 'First steps' }).waitFor();
    expect(troubles).toEqual([]);
    await page.context().close();
  });
});
