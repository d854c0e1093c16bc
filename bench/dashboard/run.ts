// The dashboard in Debian's Chromium, which draws by the processor alone: first load, ten thousand devices, ten series at 100 Hz.
//
//   npm run bench:dashboard [-- --short] [-- --only CASE,CASE]
//
// The exit code is 1 when a limit is broken. The short form has fewer rounds and devices, and its limits are twice as wide.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium, type Page } from 'playwright-core';
import { generateKeyPair, publicKeyOf, sha256Hex } from '../../src/lib/core/index.js';
import { trustRootOf } from '../../src/lib/formats/index.js';
import { startPlatform } from '../../src/lib/platform/index.js';
import { createClient } from '../../src/lib/registry/index.js';
import { machine, median } from '../models/measure.js';
import { tidyAtEnd } from '../streams/tidy.js';
import { sendSeries } from './series.js';

const { values } = parseArgs({ options: { short: { type: 'boolean' }, only: { type: 'string' } } });
const { short = false } = values;
const slack = short ? 2 : 1;
const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-'));
tidyAtEnd(folder);
let broken = 0;

const platform = await startPlatform({ dataDir: join(folder, 'data'), httpPort: 0, mqttPort: 0 });
const { http } = platform.urls;
const token = platform.token ?? '';
const client = createClient({ url: http, ca: await caText(), token });
await client.trust.put(trustRootOf(publicKeyOf(generateKeyPair().privatePem)));
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu'],
});
console.log(`${machine()}, Chromium ${browser.version()}`);

const cases: Record<string, () => Promise<void>> = { load, live, fleet };
try {
  for (const name of values.only?.split(',') ?? Object.keys(cases)) await cases[name]!();
} finally {
  await browser.close();
  await client.close();
  await platform.stop();
}
process.exit(broken > 0 ? 1 : 0);

/** A page that is logged in; nothing is in its cache. */
async function loggedIn(): Promise<Page> {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 1280, height: 860 },
  });
  const page = await context.newPage();
  await page.goto((await platform.loginLink(token)) ?? '');
  await page.getByRole('navigation', { name: 'Pages' }).waitFor();
  return page;
}

/** From the address to the page that can be used, with all that is loaded for it. */
async function load(): Promise<void> {
  const seconds: number[] = [];
  let bytes = 0;
  for (let round = 0; round < (short ? 3 : 7); round++) {
    const page = await loggedIn();
    await (await page.context().newCDPSession(page)).send('Network.clearBrowserCache');
    const began = performance.now();
    await page.goto(`${http}/?round=${round}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    seconds.push((performance.now() - began) / 1000);
    bytes = (await page.evaluate(
      `[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].reduce((sum, { transferSize }) => sum + transferSize, 0)`,
    )) as number;
    await page.context().close();
  }
  say(bytes <= 250_000, `load: ${Math.round(bytes / 1000)} kB over the wire, heads and data too (limit 250)`);
  say(median(seconds) <= slack, `load: usable within ${median(seconds).toFixed(2)} s (limit 1)`);
}

/** A list of many devices, scrolled through from its top to its end. */
async function fleet(): Promise<void> {
  const count = short ? 2000 : 10_000;
  const names = Array.from({ length: count }, (_, i) => `sim-${String(i).padStart(5, '0')}`);
  for (let i = 0; i < count; i += 1000) {
    const devices = names.slice(i, i + 1000).map((name) => ({ name, digest: sha256Hex(name) }));
    await client.devices.simulate({ type: 'virtual', devices });
  }
  const page = await loggedIn();
  const began = performance.now();
  await page.goto(`${http}/#/devices`);
  // All of them are there when it says how many are online.
  await page.getByText(/devices, \d+ online/).waitFor();
  const seconds = (performance.now() - began) / 1000;
  const frames = await framesOf(page, `scrollBy(0, 300)`);
  say(
    seconds <= 3 * slack,
    `fleet: ${count.toLocaleString('en')} devices listed within ${seconds.toFixed(2)} s (limit 3)`,
  );
  tellFrames('fleet: scrolled', frames, 20, 50);
  await page.context().close();
}

/** Ten series of a device at 100 Hz, in batches of a tenth of a second. */
async function live(): Promise<void> {
  const end = await sendSeries({ client, mqtts: platform.urls.mqtts, folder }, 'bench-live');
  try {
    const page = await loggedIn();
    await page.goto(`${http}/#/devices/bench-live`);
    await page.getByRole('heading', { name: 'imu' }).waitFor();
    // A whole plot is drawn.
    await page.waitForTimeout(short ? 4000 : 11_000);
    tellFrames('live: ten series at 100 Hz', await framesOf(page, ''), 20, 50);
    await page.context().close();
  } finally {
    await end();
  }
}

/** Times between frames for some seconds, ms, sorted, while the script is run at each. */
async function framesOf(page: Page, script: string): Promise<number[]> {
  const ms = short ? 2000 : 6000;
  const found = await page.evaluate(`new Promise((done) => {
    const times = [];
    const begin = performance.now();
    let last = begin;
    const next = (now) => {
      times.push(now - last);
      last = now;
      ${script};
      now - begin < ${ms} ? requestAnimationFrame(next) : done(times.slice(1));
    };
    requestAnimationFrame(next);
  })`);
  return (found as number[]).sort((a, b) => a - b);
}

function tellFrames(name: string, times: readonly number[], middleLimit: number, lateLimit: number): void {
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? 0;
  const rate = (1000 * times.length) / times.reduce((sum, time) => sum + time, 0);
  say(
    at(0.5) <= middleLimit * slack && at(0.95) <= lateLimit * slack,
    `${name}: ${rate.toFixed(0)} frames a second; a frame takes ${at(0.5).toFixed(1)} ms in the middle (limit ${middleLimit}), 95 % at most ${at(0.95).toFixed(1)} ms (limit ${lateLimit})`,
  );
}

function say(holds: boolean, text: string): void {
  if (!holds) broken++;
  console.log(`${holds ? 'ok    ' : 'BROKEN'} ${text}`);
}

async function caText(): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  return readFile(platform.ca, 'utf8');
}
