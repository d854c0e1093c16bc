import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { CrashReport } from '../../src/lib/formats/crash.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

const crash = (id: string, version: string, more: Partial<CrashReport> = {}): CrashReport => ({
  id,
  kind: 'exception',
  reason: 'LoadProhibited at 0x0',
  ...{ task: 'sensor', uptimeMs: 65_210 },
  firmware: { name: 'pump', version, build: '9f86d081884c7d65' },
  backtrace: [
    { address: '0x400d1f22', function: 'sensor_read', file: '/build/main/sensor.c', line: 41 },
    { address: '0x400d2010', function: 'app_main', file: '/build/main/main.c', line: 12 },
    { address: '0x400d3000' },
  ],
  registers: { pc: '0x400d1f22', a0: '0x800d2010', a1: '0x3ffb5f10' },
  tasks: [{ name: 'radio', backtrace: [{ address: '0x40081234' }] }],
  log: ['info: reading the sensor', 'warn: wifi password=hunter2'],
  ...more,
});

describeReal('chromium', 'the crashes page', () => {
  let own: Dashboard;
  beforeAll(async () => {
    own = await dashboard();
  });
  afterAll(() => own?.stop());

  it('explains how to try it without a crash', async () => {
    const { page, troubles } = await own.open('#/crashes');
    page.setDefaultTimeout(15_000);
    await page.getByText('No crashes').waitFor();
    await page.getByText('aiot device call bench-1 crash').waitFor();
    await expectAccessible(page);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('shows groups as they arrive, and a report with calls, registers, tasks and log', async () => {
    const { client } = own.platform;
    const { page, troubles } = await own.open('#/crashes');
    page.setDefaultTimeout(15_000);
    await page.getByText('No crashes').waitFor();
    await client.crashes.send({ device: 'pump-1', crash: crash('a', '1.0.0') });
    await client.crashes.send({ device: 'pump-2', crash: crash('b', '1.1.0') });
    const watchdog = crash('c', '1.1.0', { kind: 'watchdog', reason: 'task radio hung', backtrace: [] });
    await client.crashes.send({ device: 'pump-2', crash: watchdog });
    const table = page.getByRole('table', { name: 'Crashes' });
    const row = table.getByRole('row').filter({ hasText: 'LoadProhibited' });
    await row.getByText('sensor_read sensor.c:41').waitFor();
    await row.getByText('pump 1.1.0, pump 1.0.0').waitFor();
    await table.getByRole('row').filter({ hasText: 'task radio hung' }).waitFor();
    const shots = process.env.SHOTS ?? own.platform.folder;
    await page.screenshot({ path: join(shots, 'crashes.png'), fullPage: true });
    await expectAccessible(page);

    await row.getByRole('link', { name: 'LoadProhibited at 0x0' }).click();
    const calls = page.getByRole('list', { name: 'Calls', exact: true }).getByRole('listitem');
    await calls.first().waitFor();
    expect(await calls.allInnerTexts()).toEqual([
      'sensor_read /build/main/sensor.c:41',
      'app_main /build/main/main.c:12',
      '0x400d3000',
    ]);
    await page.getByText('warn: wifi password=***').waitFor();
    expect(await page.getByRole('list', { name: 'Versions' }).getByRole('listitem').allInnerTexts()).toEqual([
      'pump 1.1.0: 1 crash on 1 device',
      'pump 1.0.0: 1 crash on 1 device',
    ]);
    await page.screenshot({ path: join(shots, 'crash.png'), fullPage: true });
    await expectAccessible(page);
    await page.getByRole('list', { name: 'Other reports' }).getByRole('link', { name: 'pump-1' }).click();
    await page.getByRole('link', { name: 'pump-1' }).first().waitFor();
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('fits a phone in dark mode', async () => {
    const { page, troubles, context } = await own.open('#/crashes', { width: 390, dark: true });
    page.setDefaultTimeout(15_000);
    const link = page.getByRole('link', { name: 'LoadProhibited at 0x0' });
    await link.waitFor();
    const shots = process.env.SHOTS ?? own.platform.folder;
    for (const name of ['crashes', 'crash']) {
      if (name === 'crash') {
        await link.click();
        await page.getByRole('list', { name: 'Other reports' }).waitFor();
      }
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
      await expectAccessible(page);
      await page.screenshot({ path: join(shots, `${name}-390.png`), fullPage: true });
    }
    expect(troubles).toEqual([]);
    await context.close();
  });
});
