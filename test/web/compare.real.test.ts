import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { type FakeDevice, fakeDevice } from '../support/fake-device.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'plots of several devices and of predicted values', () => {
  let own: Dashboard;
  const devices: FakeDevice[] = [];
  const start = Date.now() - 30_000;
  beforeAll(async () => {
    own = await dashboard();
    const { client, folder, platform } = own.platform;
    const send = (i: number, channel: string, message: object) =>
      devices[i]?.client.publishAsync(`aiot/v1/bench-${i + 1}/${channel}`, JSON.stringify(message), {
        qos: 1,
      });
    for (const name of ['bench-1', 'bench-2', 'bench-3']) {
      await provisionDevice({ client, name, type: 'virtual', out: join(folder, name) });
      devices.push(await fakeDevice(platform.urls.mqtts, join(folder, name), name));
    }
    for (let seq = 0; seq < 20; seq++) {
      const t = start + seq * 1000;
      await send(0, 'telemetry/motor', { seq, t, rpm: 1400 + seq, load: 0.5 });
      await send(1, 'telemetry/motor', { seq, t: t + 400, rpm: 1500 + seq });
      await send(1, 'telemetry/climate', { seq, t: t + 400, x: 20 + seq / 10 });
      const model = { name: 'wear', version: 1 };
      const value = seq / 20;
      const prediction = { label: null, voted: null, scores: [value], value, latencyMs: 1.2 };
      await send(0, 'inference', { seq, t, model, window: seq, ...prediction });
    }
  });
  afterAll(async () => {
    for (const { client } of devices) await client.endAsync(true);
    await own?.stop();
  });

  const plotOf = (page: Page, label: string) => page.getByRole('application', { name: label });
  /** Turns the wheel on a plot. @returns whether the event is left to the page, which scrolls then */
  const scrollsPage = (page: Page, label: string) =>
    page.evaluate(
      `document.querySelector('[aria-label="${label}"] .u-over')
        .dispatchEvent(new WheelEvent('wheel', { deltaY: -100, cancelable: true, bubbles: true }))`,
    );
  const savedCsv = async (page: Page, label: string) => {
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: `Save ${label} as CSV` }).click();
    return (await readFile(await (await download).path(), 'utf8')).trim().split('\r\n');
  };

  it('compare a field of each selected device, also different ones, and can be zoomed and saved', async () => {
    const { page, context, troubles } = await own.open('#/devices');
    page.setDefaultTimeout(20_000);
    await page.getByRole('checkbox', { name: 'Select bench-1', exact: true }).check();
    const bar = page.getByRole('region', { name: 'Selected devices' });
    await bar.getByText('1 device selected').waitFor();
    expect(await bar.getByRole('link', { name: 'Compare' }).count()).toBe(0);
    await page.getByRole('checkbox', { name: 'Select bench-2', exact: true }).check();
    await bar.getByRole('link', { name: 'Compare' }).click();
    const label = 'Telemetry of bench-1, bench-2';
    await plotOf(page, label).waitFor();
    await page.getByText('aiot data export motor --selector bench-1,bench-2 --out compare.csv').waitFor();
    const both = await savedCsv(page, label);
    expect([both.length, both[0], both[1], both[2]]).toEqual([
      ...[41, 'time,bench-1 motor/rpm,bench-2 motor/rpm'],
      ...[`${new Date(start).toISOString()},1400,`, `${new Date(start + 400).toISOString()},,1500`],
    ]);

    // A field named x has an axis of its own, apart from that of the time.
    await page.getByLabel('Field of bench-2').selectOption('climate/x');
    await page.getByRole('button', { name: 'bench-2 climate/x' }).waitFor();
    await expectAccessible(page);
    expect(await scrollsPage(page, label)).toBe(false);
    await plotOf(page, label).press('0');
    await plotOf(page, label).press('+');
    const zoomed = await savedCsv(page, label);
    expect(zoomed[0]).toBe('time,bench-1 motor/rpm,bench-2 climate/x');
    expect(zoomed.length).toBeLessThan(40);
    await page.reload();
    await page.getByRole('button', { name: 'bench-2 climate/x' }).waitFor();
    expect(await savedCsv(page, label)).toHaveLength(41);
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: `Save ${label} as SVG` }).click();
    const svg = await readFile(await (await download).path(), 'utf8');
    expect(svg.match(/<path /g)).toHaveLength(2);
    expect(svg).toContain('>bench-2 climate/x</text>');
    const { default: sharp } = await import('sharp');
    await sharp(Buffer.from(svg))
      .png()
      .toFile(join(process.env.SHOTS ?? own.platform.folder, 'compare-svg.png'));
    await page.setViewportSize({ width: 390, height: 860 });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, 'compare.png') });
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('show 30 days in buckets, and load finer ones for a part of it', async () => {
    const [hour, day] = [3_600_000, 86_400_000];
    const middle = Date.now() - 15 * day;
    const send = (t: number, message: object) =>
      devices[0]?.client.publishAsync(
        'aiot/v1/bench-1/telemetry/motor',
        JSON.stringify({ seq: 1e7 + Math.round((t - middle) / 1000), t, ...message }),
        { qos: 1 },
      );
    // A sample every six hours, the newest first, and an hour of samples at 1 Hz.
    for (let t = middle + 14 * day; t > middle - 14 * day; t -= 6 * hour) await send(t + 1000, { rpm: 1000 });
    const rpm = Array.from({ length: 3600 }, (_, i) => (i === 1800 ? 9000 : 2000));
    await send(middle - hour / 2, { rate: 1, rpm });
    const { page, context, troubles } = await own.open('#/devices?compare=bench-1,bench-2&minutes=60');
    page.setDefaultTimeout(20_000);
    const label = 'Telemetry of bench-1, bench-2';
    await plotOf(page, label).waitFor();
    await page.getByLabel('Last').selectOption('30 days');
    await page.getByLabel('Show').selectOption('means, minima and maxima');
    await page.getByRole('button', { name: 'bench-1 motor/rpm maximum' }).waitFor();
    const rows = async () => (await savedCsv(page, label)).map((line) => line.split(','));
    const all = await rows();
    const header = ['bench-1 motor/rpm', 'bench-2 motor/rpm'].flatMap((name) => [
      ...[name, `${name} minimum`, `${name} maximum`],
    ]);
    expect(all[0]).toEqual(['time', ...header]);
    expect(all.length).toBeGreaterThan(100);
    expect(all.length).toBeLessThan(500);
    const highest = (lines: readonly string[][]) =>
      Math.max(...lines.slice(1).map((line) => Number(line[3])));
    expect(highest(all)).toBe(9000);
    await expectAccessible(page);
    await page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, 'compare-30-days.png') });

    for (let i = 0; i < 29; i++) await plotOf(page, label).press('+');
    await expect.poll(async () => (await rows()).length, { timeout: 20_000 }).toBe(122);
    const finer = await rows();
    expect(highest(finer)).toBe(9000);
    // Of the 120 buckets, one has the peak.
    expect(finer.filter((line) => line[3] === '9000')).toHaveLength(1);
    await page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, 'compare-zoomed.png') });
    await plotOf(page, label).press('0');
    await expect.poll(rows).toEqual(all);
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('show the other devices if one has no telemetry or does not exist', async () => {
    const { page, context } = await own.open('#/devices?compare=bench-1,bench-3,missing&minutes=60');
    await plotOf(page, 'Telemetry of bench-1').waitFor();
    await page.getByText('bench-3 sent no telemetry in this time.').waitFor();
    await page.getByText('no device is named missing').waitFor();
    await context.close();
  });

  it('follow the newest predicted values on the Live tab, where the wheel scrolls the page', async () => {
    const { page, context, troubles } = await own.open('#/devices/bench-1');
    const plot = plotOf(page, 'Predicted value');
    await plot.waitFor();
    expect(await scrollsPage(page, 'Predicted value')).toBe(true);
    await plot.press('+');
    expect(await savedCsv(page, 'Predicted value')).toHaveLength(21);
    expect(troubles).toEqual([]);
    await context.close();
  });
});
