import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { deferred } from '../../src/lib/core/tasks.js';
import { openStore } from '../../src/lib/platform/store/database.js';
import { type Dashboard, dashboardOf, expectAccessible } from '../support/dashboard.js';
import { fillHistory } from '../support/history.js';
import { type TestPlatform, testPlatform } from '../support/platform.js';
import { describeReal } from '../support/real.js';

const [minute, hour] = [60_000, 3_600_000];

describeReal('chromium', 'the fleet history page', () => {
  let platform: TestPlatform;
  let own: Dashboard;
  const end = Math.floor(Date.now() / minute) * minute;
  beforeAll(async () => {
    platform = await testPlatform();
    own = await dashboardOf(platform);
  });
  afterAll(() => own?.stop());

  it('names the next step on a new platform', async () => {
    const { page, context, troubles } = await own.open('#/history');
    page.setDefaultTimeout(30_000);
    await page.getByText('Nothing is known of this time').waitFor();
    await page.getByText('No predictions in this time').waitFor();
    await page.getByText('aiot device provision bench-1 --type virtual --out bench-1').first().waitFor();
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('shows presence, predictions and latency with gaps, and zooms into all of them', async () => {
    await platform.client.close();
    await platform.platform.stop();
    const store = await openStore(join(platform.folder, 'data', 'state.db'));
    await fillHistory(store, {
      names: ['pump-1', 'pump-2', 'pump-3'],
      // The platform did not run for ten minutes.
      times: Array.from({ length: 58 }, (_, i) => end - hour + i * minute).filter(
        (at) => at < end - 40 * minute || at >= end - 30 * minute,
      ),
      isOnline: (name, at) => name !== 'pump-3' || at < end - 20 * minute,
      predictions: (name, at) => [
        { label: name === 'pump-1' ? 'fault' : 'idle', latencyMs: at < end - 20 * minute ? 8 : 40 },
      ],
    });
    await store.destroy();
    await platform.start();
    const { page, context, troubles } = await own.open('#/history?range=1h');
    page.setDefaultTimeout(30_000);
    const plot = (name: string) => page.getByRole('application', { name });
    await plot('Latency of predictions over time').waitFor();
    expect(await page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual([
      expect.stringMatching(/^Presence.* of this time is unknown: the platform did not run$/is),
      expect.stringMatching(/^Predictions by class.* of this time is unknown/is),
      expect.stringMatching(/^Latency of predictions/i),
    ]);
    expect(await page.getByRole('button', { name: 'idle' }).getAttribute('aria-pressed')).toBe('true');
    await expectAccessible(page);
    const shots = process.env.SHOTS ?? platform.folder;
    await page.screenshot({ path: join(shots, 'history.png'), fullPage: true });

    // One measure at a time, because both have the same curve while the number of devices is constant.
    const presence = page.locator('section').filter({ hasText: 'Presence' });
    const curves = () => presence.getByRole('button', { pressed: true }).allTextContents();
    await expect.poll(curves).toEqual(['devices online', 'all devices']);
    await page.getByLabel('Show').selectOption('share online, %');
    await expect.poll(curves).toEqual(['online, %']);
    await page.waitForURL(/presence=share/);
    await page.screenshot({ path: join(shots, 'history-share.png'), fullPage: true });
    await page.getByLabel('Show').selectOption('number of devices');
    await expect.poll(curves).toEqual(['devices online', 'all devices']);

    // By keyboard: zoom in, then read this part.
    await plot('Presence over time').focus();
    for (let i = 0; i < 5; i++) await page.keyboard.press('+');
    await page.getByRole('button', { name: 'Read this part in detail' }).click();
    await page.waitForURL(/from=.*to=/);
    await page.getByText(' to ').first().waitFor();
    await plot('Presence over time').waitFor();
    await page.getByLabel('Last').selectOption('1d');
    await page.waitForURL(/range=1d/);
    await plot('Predictions by class over time').waitFor();
    // The charts of the old selector disappear at once, not when the new ones arrive.
    const held = deferred();
    await page.route(/history\/predictions\?.*selector=pump-1/, async (request) => {
      await held.promise;
      await request.continue();
    });
    await page.getByRole('searchbox', { name: 'Selector' }).fill('pump-1');
    await page.keyboard.press('Enter');
    await page.waitForURL(/selector=pump-1/);
    await page.getByText('aiot fleet history --selector pump-1 --since 1d').waitFor();
    await page.getByText('Loading').waitFor();
    expect(await page.getByRole('button', { name: 'idle', exact: true }).count()).toBe(0);
    held.resolve();
    await page.getByRole('button', { name: 'fault', exact: true }).waitFor();
    expect(await page.getByRole('button', { name: 'idle', exact: true }).count()).toBe(0);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('explains an invalid selector, and saves the stacked bars as SVG', async () => {
    const { page, context } = await own.open('#/history?range=1h&selector=pump%3D%3D');
    page.setDefaultTimeout(30_000);
    await page.getByRole('alert').getByText('AIOT_SELECTOR_INVALID').waitFor();
    await page.goto(page.url().replace(/&selector=.*/, ''));
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Save Predictions by class over time as SVG' }).click();
    const { readFile } = await import('node:fs/promises');
    const svg = await readFile(await (await download).path(), 'utf8');
    expect(svg.match(/<rect [^>]*fill="#2b6cb0"/g)?.length).toBeGreaterThan(30);
    await context.close();
  });

  it('fits a phone in dark mode', async () => {
    const { page, context, troubles } = await own.open('#/history?range=1h', { width: 390, dark: true });
    page.setDefaultTimeout(30_000);
    await page.getByRole('application', { name: 'Latency of predictions over time' }).waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    const shots = process.env.SHOTS ?? platform.folder;
    await page.screenshot({ path: join(shots, 'history-390.png'), fullPage: true });
    expect(troubles).toEqual([]);
    await context.close();
  });
});
