import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Dashboard, dashboard, expectAccessible } from '../support/dashboard.js';
import { fakeDevice } from '../support/fake-device.js';
import { type FakeFleet, fakeFleet } from '../support/fake-fleet.js';
import { fixedPorts } from '../support/platform.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the logs page', () => {
  let own: Dashboard;
  let fleet: FakeFleet;
  const connect = async () => {
    const { client, folder, platform } = own.platform;
    fleet = await fakeFleet(
      { client, mqtts: platform.urls.mqtts, folder },
      ['pump-1', 'pump-2', 'fan-1'],
      () => 'commits',
    );
  };
  beforeAll(async () => {
    own = await dashboard(await fixedPorts());
    await connect();
  });
  afterAll(async () => {
    await fleet?.stop();
    await own?.stop();
  });

  const say = (name: string, level: string, message: string, more: object = {}) =>
    fleet.devices
      .find((device) => device.name === name)
      ?.client.publishAsync(
        `aiot/v1/${name}/log`,
        JSON.stringify({ t: Date.now(), level, message, ...more }),
        { qos: 1 },
      );

  /** The rendered rows, as `device level message`. */
  const rowsOf = (page: Page) =>
    page
      .getByRole('table', { name: 'Log lines' })
      .locator('tbody tr')
      .evaluateAll((rows) =>
        rows.map((row) =>
          [...row.querySelectorAll('td')]
            .slice(1, 3)
            .map((cell) => cell.textContent)
            .join(' '),
        ),
      );
  const open = async (hash: string, options: Parameters<Dashboard['open']>[1] = {}) => {
    const opened = await own.open(hash, options);
    opened.page.setDefaultTimeout(15_000);
    return opened;
  };
  const shot = (page: Page, name: string) =>
    page.screenshot({ path: join(process.env.SHOTS ?? own.platform.folder, `${name}.png`) });

  it('follows the lines of all devices, pauses, and shows the details of a line', async () => {
    const { page, troubles } = await open('#/logs');
    await page.getByText('No matching log lines').waitFor();
    await page.getByText('live', { exact: true }).waitFor();
    await expectAccessible(page);
    await say('pump-1', 'info', 'started');
    await say('fan-1', 'error', 'sensor failed', { code: 'AIOT_SENSOR_FAILED', pin: 4 });
    await expect.poll(() => rowsOf(page)).toEqual(['fan-1 error sensor failed', 'pump-1 info started']);
    await page.getByText('2 lines').waitFor();

    await page.getByRole('button', { name: 'Pause' }).click();
    await say('pump-2', 'warn', 'while paused');
    await page.getByText('2 lines, paused').waitFor();
    expect(await rowsOf(page)).toHaveLength(2);
    await page.getByRole('button', { name: 'Resume' }).click();
    await expect.poll(async () => (await rowsOf(page))[0]).toBe('pump-2 warn while paused');

    const line = page.getByRole('button', { name: 'sensor failed' });
    await line.focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.getByText('"pin": 4').waitFor();
    await dialog.getByText('AIOT_SENSOR_FAILED').waitFor();
    await expectAccessible(page);
    await shot(page, 'log-line');
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await shot(page, 'logs');
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('filters by devices, level, text and time, with all of it in the address and the command', async () => {
    const { page, troubles } = await open('#/devices/pump-1?tab=log');
    await page.getByRole('link', { name: 'Search and follow' }).click();
    await expect.poll(() => rowsOf(page)).toEqual(['pump-1 info started']);
    await page.getByLabel('Devices').fill('name ~ pump-*');
    await page.getByLabel('Level').selectOption('warn');
    await page.getByLabel('Text').fill('PAUSED');
    await page.getByLabel('Time').selectOption('1h');
    await page.getByRole('button', { name: 'Filter', exact: true }).press('Enter');
    await expect.poll(() => rowsOf(page)).toEqual(['pump-2 warn while paused']);
    expect(page.url()).toMatch(/logs\?selector=name\+%7E\+pump-\*&level=warn&contains=PAUSED&since=1h$/);
    const command =
      "aiot device logs --follow --selector 'name ~ pump-*' --level warn --contains PAUSED --since 1h";
    await page.getByText(command).waitFor();
    await say('pump-1', 'warn', 'paused again');
    await say('pump-1', 'info', 'paused, but only info');
    await say('fan-1', 'warn', 'paused, but a fan');
    await expect.poll(() => rowsOf(page)).toEqual(['pump-1 warn paused again', 'pump-2 warn while paused']);

    // A time range that has ended shows no new lines. Its address opens the same lines.
    const now = Date.now();
    await page.getByLabel('Time').selectOption('times');
    await page.getByLabel('From', { exact: true }).fill(new Date(now - 7_200_000).toISOString().slice(0, 19));
    await page.getByLabel('To', { exact: true }).fill(new Date(now - 3_600_000).toISOString().slice(0, 19));
    await page.getByRole('button', { name: 'Filter', exact: true }).click();
    await page.getByText('past', { exact: true }).waitFor();
    await page.getByRole('heading', { name: 'No matching log lines' }).waitFor();
    const iso = (time: number) => new Date(Math.floor(time / 1000) * 1000).toISOString();
    const times = `--since ${iso(now - 7_200_000)} --until ${iso(now - 3_600_000)}`;
    await page.getByText(times, { exact: false }).waitFor();
    await page.reload();
    await page.getByText('past', { exact: true }).waitFor();
    expect(await page.getByLabel('To', { exact: true }).inputValue()).toBe(
      new Date(now - 3_600_000).toISOString().slice(0, 19),
    );
    await expectAccessible(page);

    await page.getByLabel('Devices').fill('type<<3');
    await page.getByRole('button', { name: 'Filter', exact: true }).click();
    await page.getByRole('alert').getByText('AIOT_SELECTOR_INVALID').waitFor();
    troubles.length = 0;
    await page.context().close();
  });

  it('names the times in the command if an age refers to an end in the past', async () => {
    const end = Date.UTC(2026, 0, 2, 12);
    const { page, troubles } = await open(`#/logs?since=1h&to=${new Date(end).toISOString()}`);
    await page.getByText('past', { exact: true }).waitFor();
    await page
      .getByText('aiot device logs --since 2026-01-02T11:00:00.000Z --until 2026-01-02T12:00:00.000Z')
      .waitFor();
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('follows new lines if the range has only a beginning', async () => {
    const { page, troubles } = await open('#/logs?level=warn');
    await page.getByLabel('Time').selectOption('times');
    const from = Math.floor(Date.now() / 1000) * 1000 - 60_000;
    await page.getByLabel('From', { exact: true }).fill(new Date(from).toISOString().slice(0, 19));
    await page.getByRole('button', { name: 'Filter', exact: true }).click();
    await page
      .getByText(`aiot device logs --follow --level warn --since ${new Date(from).toISOString()}`)
      .waitFor();
    await page.getByText('live', { exact: true }).waitFor();
    await say('fan-1', 'warn', 'after the beginning');
    await expect.poll(async () => (await rowsOf(page))[0]).toBe('fan-1 warn after the beginning');
    await page.getByLabel('To', { exact: true }).fill(new Date(from + 1000).toISOString().slice(0, 19));
    await page.getByRole('button', { name: 'Filter', exact: true }).click();
    await page.getByText('past', { exact: true }).waitFor();
    expect(await page.getByText('after the beginning').count()).toBe(0);
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  it('shows each line once across a restart, and lines that arrived too fast; earlier lines page by page', {
    timeout: 120_000,
  }, async () => {
    const { page } = await open('#/logs?contains=burst');
    await page.getByText('live', { exact: true }).waitFor();
    await say('fan-1', 'info', 'burst begins');
    await expect.poll(() => rowsOf(page)).toEqual(['fan-1 info burst begins']);
    await fleet.stop();
    await own.platform.restart();
    fleet = { ...fleet, devices: await reconnected() };
    await say('fan-1', 'info', 'burst goes on');
    await page.getByText('live', { exact: true }).waitFor();
    await expect
      .poll(() => rowsOf(page), { timeout: 20_000 })
      .toEqual(['fan-1 info burst goes on', 'fan-1 info burst begins']);

    const count = 6000;
    for (let i = 0; i < count; i += 500)
      await Promise.all(Array.from({ length: 500 }, (_, j) => say('pump-1', 'debug', `burst ${i + j}`)));
    await expect
      .poll(async () => (await rowsOf(page))[0], { timeout: 30_000 })
      .toBe(`pump-1 debug burst ${count - 1}`);
    // The list has no gaps: earlier lines continue exactly where it ends.
    const shown = async () =>
      Number((await page.getByRole('status').textContent())?.replace(/,/g, '').match(/(\d+) lines/)?.[1]);
    const earlier = page.getByRole('button', { name: 'Earlier lines' });
    while ((await shown()) < 5000) {
      const before = await shown();
      await earlier.click();
      await expect.poll(shown).not.toBe(before);
    }
    expect(await shown()).toBe(5000);
    await page.getByText('The page keeps 5,000 lines.').waitFor();
    // A new connection reads the newest lines again. There are more of them than one page, and the list stays as long as it is.
    await own.platform.restart();
    await page
      .getByText('connecting', { exact: true })
      .or(page.getByText('interrupted', { exact: true }))
      .waitFor();
    await page.getByText('live', { exact: true }).waitFor();
    const settled = page.waitForTimeout(1000);
    while (await Promise.race([settled.then(() => false), page.waitForTimeout(50).then(() => true)]))
      expect(await shown()).toBe(5000);
    expect((await rowsOf(page)).length).toBeLessThan(100);
    await page.keyboard.press('End');
    await expect.poll(async () => (await rowsOf(page)).at(-1)).toBe(`pump-1 debug burst ${count - 5000}`);
    await expectAccessible(page);
    await page.getByRole('link', { name: 'Show the lines before these' }).click();
    await page.getByText('past', { exact: true }).waitFor();
    await page.evaluate('scrollTo(0, 0)');
    // Lines that arrived in the same millisecond as the oldest one may be shown again, but none is left out.
    const first = async () => Number((await rowsOf(page))[0]?.match(/burst (\d+)/)?.[1]);
    await expect.poll(first).toBeGreaterThanOrEqual(count - 5000);
    expect(await first()).toBeLessThan(count - 4500);
    await page.context().close();
  });

  it('fits a phone in dark mode', async () => {
    const { page, troubles } = await open('#/logs', { width: 390, dark: true });
    await page.getByText('live', { exact: true }).waitFor();
    await page.getByRole('table', { name: 'Log lines' }).waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(390);
    await expectAccessible(page);
    await shot(page, 'logs-phone');
    expect(troubles).toEqual([]);
    await page.context().close();
  });

  const reconnected = () => {
    const { folder, platform } = own.platform;
    return Promise.all(
      fleet.devices.map(({ name }) => fakeDevice(platform.urls.mqtts, join(folder, name), name)),
    );
  };
});
