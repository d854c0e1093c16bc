import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { freePort } from '../support/free-port.js';
import { clientId, clientSecret, type RunningProvider, startProvider } from '../support/oidc-provider.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the login through a provider in a browser', () => {
  let own: Dashboard;
  let provider: RunningProvider;
  beforeAll(async () => {
    const httpPort = await freePort();
    provider = await startProvider([`https://127.0.0.1:${httpPort}/`]);
    provider.asks = true;
    provider.accounts.set('s-1', { name: 'ana', groups: ['staff'] });
    own = await dashboard({
      httpPort,
      provider: {
        ...{ issuer: provider.issuer, clientId, clientSecret, groupsClaim: 'groups', recheckMs: 60_000 },
        roles: { staff: 'viewer' },
      },
    });
  });
  afterAll(async () => {
    await own?.stop();
    await provider?.stop();
  });

  const open = async () => {
    const opened = await own.open('', { token: '' });
    opened.page.setDefaultTimeout(15_000);
    const { host } = new URL(provider.issuer);
    return { ...opened, button: opened.page.getByRole('button', { name: `Log in with ${host}` }) };
  };

  it('leads from the button to the provider and back into the dashboard, until the user logs out', async () => {
    provider.next = 's-1';
    const { page, context, troubles, button } = await open();
    await button.waitFor();
    await page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, 'log-in.png') });
    await expectAccessible(page);
    await button.click();
    await page.getByRole('heading', { name: 'Log in as s-1' }).waitFor();
    expect(new URL(page.url()).origin).toBe(provider.issuer);
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('navigation', { name: 'Pages' }).getByText('viewer').waitFor();
    expect(new URL(page.url()).search).toBe('');
    await page.reload();
    await page.getByRole('navigation', { name: 'Pages' }).getByText('ana').waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await button.waitFor();
    await page.reload();
    await button.waitFor();
    expect(troubles.filter((text) => !text.startsWith(`asked for ${provider.issuer}/`))).toEqual([]);
    await context.close();
  });

  it('returns to the login page with the reason if the provider refuses', async () => {
    provider.next = null;
    const { page, context, button } = await open();
    await button.click();
    await page.getByText('AIOT_LOGIN_FAILED').waitFor();
    await button.waitFor();
    await expectAccessible(page);
    await context.close();
  });
});
