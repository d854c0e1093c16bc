import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { expect } from 'vitest';
import { root } from './cli.js';
import { type TestPlatform, testPlatform } from './platform.js';

/**
 * axe as a single script, which is injected through the debugger, because the page's content security policy does not
 * apply to it.
 */
const axeScript = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

export interface Dashboard {
  platform: TestPlatform;
  browser: Browser;
  /** Opens a page logged in as the operator, or with the given token. */
  open(
    hash?: string,
    options?: { token?: string; width?: number; dark?: boolean; zone?: string },
  ): Promise<DashboardPage>;
  stop(): Promise<void>;
}

export interface DashboardPage {
  page: Page;
  context: BrowserContext;
  /** Errors on the page's console, and its requests to other hosts. */
  troubles: string[];
}

/** Starts a platform and a browser that displays it. */
export async function dashboard(options: Parameters<typeof testPlatform>[0] = {}): Promise<Dashboard> {
  return dashboardOf(await testPlatform(options));
}

/** Starts Debian's Chromium without a window. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      ...['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--font-render-hinting=none'],
      ...['--disable-quic', '--disable-background-networking'],
    ],
  });
}

/** Starts a browser that displays a running platform. */
export async function dashboardOf(platform: TestPlatform): Promise<Dashboard> {
  const browser = await launchChromium();
  return {
    platform,
    browser,
    async open(hash = '#/', { token = platform.token, width = 1280, dark = false, zone = 'UTC' } = {}) {
      const context = await browser.newContext({
        // The certificate is signed by the test's own CA.
        ignoreHTTPSErrors: true,
        viewport: { width, height: 860 },
        colorScheme: dark ? 'dark' : 'light',
        reducedMotion: 'reduce',
        locale: 'en-GB',
        timezoneId: zone,
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

/** Fails with axe's accessibility findings on a page. */
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
  source ??= readFile(axeScript, 'utf8');
  return source;
}

/**
 * Maximum share of pixels in the small picture that may differ, and the minimum difference in gray for a pixel to be
 * considered different. Text and times vary, but positions do not.
 */
const [mostOther, another] = [0.03, 40];
const width = 200;

/**
 * Compares a page's appearance with a small gray reference picture. This detects misplaced elements, but not the edges
 * of a different font. A missing picture is written, and with UPDATE_SCREENS=1 all pictures are. They must be reviewed
 * before they are committed.
 */
export async function expectLooks(page: Page, name: string): Promise<void> {
  const { default: sharp } = await import('sharp');
  const taken = async () => {
    const shot = await page.screenshot({ animations: 'disabled', caret: 'hide' });
    return sharp(shot).grayscale().resize({ width, kernel: 'cubic' }).blur(1);
  };
  const file = join(root, 'test', 'web', 'screens', `${name}.png`);
  if (!existsSync(file) || process.env.UPDATE_SCREENS) {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(
      file,
      await (await taken()).png({ compressionLevel: 9, palette: true, colours: 32 }).toBuffer(),
    );
    if (!process.env.CI) return;
  }
  const before = await sharp(file).grayscale().raw().toBuffer({ resolveWithObject: true });
  const share = async () => {
    const { data, info } = await (await taken()).raw().toBuffer({ resolveWithObject: true });
    expect({ name, width: info.width, height: info.height }).toEqual({
      ...{ name, width: before.info.width, height: before.info.height },
    });
    let other = 0;
    for (let i = 0; i < data.length / info.channels; i++) {
      const difference = (data[i * info.channels] ?? 0) - (before.data[i * before.info.channels] ?? 0);
      if (Math.abs(difference) > another) other++;
    }
    return other / (info.width * info.height);
  };
  // Parts of a page may be shown a bit later than its heading.
  await expect
    .poll(share, { message: `share of points in which ${name} looks otherwise` })
    .toBeLessThanOrEqual(mostOther);
}
