import { createRequire } from 'node:module';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { expect } from 'vitest';
import { type TestPlatform, testPlatform } from './platform.js';

/** axe as one script: a page is given it through the debugger, which its content security policy does not bind. */
const axeScript = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

export interface Dashboard {
  platform: TestPlatform;
  browser: Browser;
  /** A page that is logged in as the operator, or as whom the token is of. */
  open(hash?: string, options?: { token?: string; width?: number; dark?: boolean }): Promise<DashboardPage>;
  stop(): Promise<void>;
}

export interface DashboardPage {
  page: Page;
  context: BrowserContext;
  /** What the page has said on its console as an error, and what it asked of other hosts. */
  troubles: string[];
}

/** A platform and a browser that looks at it. */
export async function dashboard(options: Parameters<typeof testPlatform>[0] = {}): Promise<Dashboard> {
  const platform = await testPlatform(options);
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--font-render-hinting=none'],
  });
  return {
    platform,
    browser,
    async open(hash = '#/', { token = platform.token, width = 1280, dark = false } = {}) {
      const context = await browser.newContext({
        // The CA is the test's own.
        ignoreHTTPSErrors: true,
        viewport: { width, height: 860 },
        colorScheme: dark ? 'dark' : 'light',
        reducedMotion: 'reduce',
        locale: 'en-GB',
        timezoneId: 'UTC',
      });
      const page = await context.newPage();
      const { origin } = new URL(platform.platform.urls.http);
      const troubles: string[] = [];
      page.on('console', (message) => message.type() === 'error' && troubles.push(message.text()));
      page.on('pageerror', (error) => troubles.push(String(error)));
      page.on('request', (request) => {
        if (!request.url().startsWith(origin) && !/^(data|blob):/.test(request.url()))
          troubles.push(`asked for ${request.url()}`);
      });
      if (token !== '') {
        await page.goto((await platform.platform.loginLink(token)) ?? 'the token is not good');
        await page.getByRole('navigation', { name: 'Pages' }).waitFor();
      }
      await page.goto(`${origin}/${hash}`);
      return { page, context, troubles };
    },
    async stop() {
      await browser.close();
      await platform.stop();
    },
  };
}

/** Fails with what axe finds wrong with a page for people who do not see it, or use a keyboard. */
export async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(await axeSource());
  const { violations } = (await page.evaluate('axe.run()')) as AxeResult;
  const found = violations.map(
    ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`,
  );
  expect(found).toEqual([]);
}

interface AxeResult {
  violations: { id: string; help: string; nodes: { html: string }[] }[];
}

let source: Promise<string> | undefined;
function axeSource(): Promise<string> {
  source ??= import('node:fs/promises').then(({ readFile }) => readFile(axeScript, 'utf8'));
  return source;
}
