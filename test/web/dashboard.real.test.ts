import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Dashboard, dashboard, expectAccessible, expectLooks } from '../support/dashboard.js';
import { freePort } from '../support/free-port.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the dashboard in a browser', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard({ httpPort: await freePort() });
  });
  afterAll(() => own.stop());

  it('logs in with a one-time link, which leaves no trace in the history, and with a token', async () => {
    const { page, troubles } = await own.open('#/');
    await page.getByRole('heading', { name: 'First steps' }).waitFor();
    expect(page.url()).not.toContain('login');
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByLabel('Or log in with a token').fill(own.platform.token);
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('heading', { name: 'First steps' }).waitFor();
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('reports an unreachable platform; when it is back, reloads and stays logged in', async () => {
    const { platform } = own;
    const port = Number(new URL(platform.platform.urls.http).port);
    const { page, troubles } = await own.open('#/devices');
    await page.getByRole('heading', { name: 'No devices yet' }).waitFor();
    await platform.platform.stop();
    await page.getByText('The platform is unreachable.').waitFor();
    await platform.start({ httpPort: port });
    await platform.client.devices.simulate({
      type: 'virtual',
      devices: [{ name: 'bench-1', digest: '0'.repeat(64) }],
    });
    await page.getByRole('link', { name: 'bench-1' }).waitFor();
    await page.getByText('The platform is unreachable.').waitFor({ state: 'detached' });
    // Excludes the browser's own messages about lost connections.
    expect(troubles.filter((text) => !/net::ERR_/.test(text))).toEqual([]);
    await page.context().close();
  });

  it('shows the page that was requested last, even if another one loads later', async () => {
    const { page, troubles } = await own.open('#/events');
    await page.getByRole('heading', { name: 'Events' }).waitFor();
    await page.route(/\/assets\/rollouts-/, async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await route.continue();
    });
    const came = page.waitForResponse(/\/assets\/rollouts-/);
    await page.getByRole('link', { name: 'Rollouts' }).click();
    await page.getByRole('link', { name: 'Events' }).click();
    await came;
    await page.waitForTimeout(300);
    expect(await page.getByRole('heading', { name: 'Events' }).isVisible()).toBe(true);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('lists the replicas with the tasks that they lead', async () => {
    const { page, troubles } = await own.open('#/');
    // A blank page first, which has no request in progress.
    await page.goto('about:blank');
    await page.route('**/api/v1/status', async (route) => {
      const response = await route.fetch();
      const replicas = [
        { url: 'https://one.test:8443', leads: ['alarms', 'rollouts'] },
        { url: 'https://two.test:8443', leads: [] },
      ];
      await route.fulfill({ response, json: { ...(await response.json()), replicas } });
    });
    await page.goto(`${own.platform.platform.urls.http}/#/`);
    const section = page.locator('section', { has: page.getByRole('heading', { name: 'Replicas' }) });
    await section.getByText('2 replicas').waitFor();
    expect(await section.getByRole('term').allInnerTexts()).toEqual([
      'https://one.test:8443',
      'https://two.test:8443',
    ]);
    expect(await section.getByRole('definition').allInnerTexts()).toEqual(['alarms, rollouts', 'no tasks']);
    await page.screenshot({
      path: join(process.env.SHOTS ?? own.platform.folder, 'replicas.png'),
      fullPage: true,
    });
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await page.unrouteAll({ behavior: 'wait' });
    await page.context().close();
  });

  it('matches the stored screenshots', async () => {
    const names = Array.from({ length: 30 }, (_, i) => ({
      name: `line-${i}`,
      digest: String(i).padStart(64, '0'),
    }));
    await own.platform.client.devices.simulate({ type: 'virtual', devices: names });
    for (const [hash, heading] of [
      ['#/', 'First steps'],
      ['#/devices', 'Devices'],
    ] as const) {
      for (const [width, dark] of [
        [1280, false],
        [390, true],
      ] as const) {
        const { page, context } = await own.open(hash, { width, dark });
        await page.getByRole('heading', { name: heading }).waitFor();
        if (hash === '#/devices') await page.getByRole('link', { name: 'line-0', exact: true }).waitFor();
        await expectLooks(page, `${heading.toLowerCase().replace(' ', '-')}-${width}`);
        await context.close();
      }
    }
  });
});
