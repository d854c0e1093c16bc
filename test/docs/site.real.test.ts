import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeSite } from '../../scripts/docs/site.js';
import { reportStyle } from '../../src/lib/formats/html.js';
import { root } from '../support/cli.js';
import { expectAccessible, launchChromium } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

describeReal('chromium', 'the documentation site in a browser, from file://', () => {
  let browser: Browser;
  let folder = '';
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'aiot-site-'));
    for (const [path, content] of makeSite(root, reportStyle).files) {
      mkdirSync(join(folder, dirname(path)), { recursive: true });
      writeFileSync(join(folder, path), content);
    }
    browser = await launchChromium();
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(
    path: string,
    { width = 1280, dark = false } = {},
  ): Promise<{ page: Page; context: BrowserContext; troubles: string[] }> {
    const context = await browser.newContext({
      viewport: { width, height: 900 },
      colorScheme: dark ? 'dark' : 'light',
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    const page = await context.newPage();
    const troubles: string[] = [];
    page.on('console', (message) => troubles.push(message.text()));
    page.on('pageerror', (error) => troubles.push(String(error)));
    page.on('request', (request) => {
      if (!request.url().startsWith(pathToFileURL(folder).href)) troubles.push(`asked for ${request.url()}`);
    });
    await page.goto(pathToFileURL(join(folder, path)).href);
    return { page, context, troubles };
  }

  it('finds a section with the keyboard alone', async () => {
    const { page, context, troubles } = await open('start/quick-start.html');
    await page.keyboard.press('/');
    await page.keyboard.type('AIOT_FLASH_REFUSED');
    const results = page.getByRole('list', { name: 'Search results' });
    await results.getByRole('link').first().waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.waitForURL(/reference\/errors\.html#aiot_flash_refused$/);
    expect(troubles).toEqual([]);
    await page.getByLabel('Search the documentation').fill('no such word anywhere');
    await page.getByText('No results').waitFor();
    await page.keyboard.press('Escape');
    await page.getByText('No results').waitFor({ state: 'hidden' });
    await page.keyboard.type('rollout');
    await results.getByRole('link').first().waitFor();
    expect(troubles).toEqual([]);
    await expectAccessible(page);
    await context.close();
  });

  it('copies a code block', async () => {
    const { page, context, troubles } = await open('start/quick-start.html');
    const block = page.locator('.code', { hasText: 'aiot demo' }).first();
    await block.hover();
    await block.getByRole('button', { name: 'Copy' }).click();
    await block.getByText('Copied').waitFor();
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe('aiot demo');
    expect(troubles).toEqual([]);
    await context.close();
  });

  it('keeps the copy button off the code on a touch screen', async () => {
    const context = await browser.newContext({
      viewport: { width: 390, height: 900 },
      hasTouch: true,
      isMobile: true,
    });
    const page = await context.newPage();
    await page.goto(pathToFileURL(join(folder, 'start/quick-start.html')).href);
    for (const block of await page.locator('.code').all()) {
      const button = await block.getByRole('button', { name: 'Copy' }).boundingBox();
      const code = await block.locator('code').boundingBox();
      expect((button?.y ?? 0) + (button?.height ?? 0)).toBeLessThanOrEqual(code?.y ?? 0);
    }
    await page.screenshot({ path: join(process.env.SHOTS ?? folder, 'copy.png') });
    await context.close();
  });

  it('fits a phone and a desktop, in light and dark mode', async () => {
    for (const path of ['index.html', 'start/quick-start.html', 'reference/project.html']) {
      for (const [width, dark, ground] of [
        [390, true, 'rgb(21, 23, 26)'],
        [1280, false, 'rgb(251, 250, 248)'],
      ] as const) {
        const { page, context, troubles } = await open(path, { width, dark });
        await page.getByLabel('Search the documentation').waitFor();
        expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), path).toBe(0);
        expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe(ground);
        expect(troubles).toEqual([]);
        // This comes last, because axe requests the style sheet, which the page's policy blocks.
        await expectAccessible(page);
        await context.close();
      }
    }
  });
});
