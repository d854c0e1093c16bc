// Benchmarks the dashboard in Debian's Chromium, which renders on the CPU: first load, a list of many devices, ten live series at 100 Hz.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import mqtt from 'mqtt';
import { type Browser, chromium, type Page } from 'playwright-core';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { generateKeyPair, publicKeyOf, sha256Hex } from '../../src/lib/core/crypto.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import { startPlatform } from '../../src/lib/platform/start.js';
import { provisionDevice } from '../../src/lib/provision/provision.js';
import type { Area, Bench } from '../harness/area.js';
import { type Figure, growth } from '../harness/figure.js';
import { parts, versionOf } from '../harness/parts.js';
import { startNginx } from '../platform/nginx.js';

export const area: Area = {
  about: 'the dashboard: load, lists, live plots',
  cases: {
    load: { peer: 'a static page from nginx', needs: [parts.chromium, parts.nginx], run: on(load) },
    live: { needs: [parts.chromium], run: on(live) },
    fleet: { needs: [parts.chromium], run: on(fleet) },
  },
};

interface Stage {
  bench: Bench;
  folder: string;
  browser: Browser;
  platform: Awaited<ReturnType<typeof startPlatform>>;
  client: ReturnType<typeof createClient>;
}

/** Runs a case with a browser and a platform that has a trust root. */
function on(run: (stage: Stage) => Promise<Figure[]>) {
  return async (bench: Bench): Promise<Figure[]> => {
    const folder = bench.folder();
    const platform = await startPlatform({ dataDir: join(folder, 'data'), httpPort: 0, mqttPort: 0 });
    const ca = readFileSync(platform.ca, 'utf8');
    const client = createClient({ url: platform.urls.http, ca, token: platform.token ?? '' });
    await client.trust.put(trustRootOf(publicKeyOf(generateKeyPair().privatePem)));
    const browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu'],
    });
    try {
      return await run({ bench, folder, browser, platform, client });
    } finally {
      await browser.close();
      await client.close();
      await platform.stop();
    }
  };
}

async function newPage({ browser }: Stage): Promise<Page> {
  const viewport = { width: 1280, height: 860 };
  return (await browser.newContext({ ignoreHTTPSErrors: true, viewport })).newPage();
}

/** A logged-in page with an empty cache. */
async function loggedIn(stage: Stage): Promise<Page> {
  const page = await newPage(stage);
  await page.goto((await stage.platform.loginLink(stage.platform.token ?? '')) ?? '');
  await page.getByRole('navigation', { name: 'Pages' }).waitFor();
  return page;
}

/** Time from navigation until the page is usable, including everything it loads. */
async function load(stage: Stage): Promise<Figure[]> {
  const { platform, browser, folder, bench } = stage;
  const sent = async () => {
    const page = await loggedIn(stage);
    const seconds = await loaded(page, `${platform.urls.http}/`);
    const bytes = (await page.evaluate(
      `[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].reduce((sum, { transferSize }) => sum + transferSize, 0)`,
    )) as number;
    await page.context().close();
    return { seconds, bytes };
  };
  const { bytes } = await sent();
  const nginx = await startStaticPage(join(folder, 'nginx'), dirname(platform.ca), bytes);
  const [ours, theirs]: [number[], number[]] = [[], []];
  try {
    for (let round = 0; round < (bench.quick ? 3 : 7); round++) {
      ours.push((await sent()).seconds);
      const page = await newPage(stage);
      theirs.push(await loaded(page, `${nginx.url}/index.html`));
      await page.context().close();
    }
  } finally {
    await nginx.stop();
  }
  const version = `${versionOf('nginx', '-v')}, Chromium ${browser.version()}`;
  const name = 'first load until usable';
  return [
    { name: `${name}, bytes over the wire`, unit: 'kB', ours: bytes / 1000, goal: 250, slack: 1 },
    { name, unit: 's', ours, goal: 1 },
    {
      name: `${name}, compared with a static page`,
      unit: 's',
      ours,
      peer: { name: 'a static page from nginx', version, rounds: theirs },
      goal: 2,
    },
  ];
}

async function loaded(page: Page, url: string): Promise<number> {
  await (await page.context().newCDPSession(page)).send('Network.clearBrowserCache');
  const began = performance.now();
  await page.goto(url);
  await page.getByRole('heading', { level: 1 }).waitFor();
  return (performance.now() - began) / 1000;
}

/** Loads a long device list and scrolls through it. */
async function fleet(stage: Stage): Promise<Figure[]> {
  const { bench, client, platform } = stage;
  const sizes = bench.quick ? [200, 2000] : [100, 1000, 10_000];
  const points = [];
  let frames: number[] = [];
  let stored = 0;
  for (const size of sizes) {
    for (; stored < size; stored = Math.min(size, stored + 1000)) {
      const names = Array.from(
        { length: Math.min(1000, size - stored) },
        (_, i) => `sim-${String(stored + i).padStart(5, '0')}`,
      );
      const devices = names.map((name) => ({ name, digest: sha256Hex(name) }));
      await client.devices.simulate({ type: 'virtual', devices });
    }
    const page = await loggedIn(stage);
    const began = performance.now();
    await page.goto(`${platform.urls.http}/#/devices`);
    // The list is complete once the page shows how many devices are online.
    await page.getByText(/devices, \d+ online/).waitFor();
    points.push({ size, cost: (performance.now() - began) / 1000 });
    if (size === sizes.at(-1)) frames = await framesOf(page, 'scrollBy(0, 300)', bench);
    await page.context().close();
  }
  const last = points.at(-1)!;
  return [
    { name: `${last.size.toLocaleString('en')} devices listed`, unit: 's', ours: last.cost, goal: 3 },
    ...frameFigures('scrolling through the list', frames),
    growth('dashboard, devices listed', 1.1, points),
  ];
}

/** Shows ten series of a device at 100 Hz, sent in batches of 0.1 s. */
async function live(stage: Stage): Promise<Figure[]> {
  const { bench, client, platform, folder } = stage;
  const end = await sendSeries({ client, mqtts: platform.urls.mqtts, folder }, 'bench-live');
  try {
    const page = await loggedIn(stage);
    await page.goto(`${platform.urls.http}/#/devices/bench-live`);
    await page.getByRole('heading', { name: 'imu' }).waitFor();
    // Long enough for a complete plot.
    await page.waitForTimeout(bench.quick ? 4000 : 11_000);
    const frames = await framesOf(page, '', bench);
    await page.context().close();
    return frameFigures('ten series at 100 Hz', frames);
  } finally {
    await end();
  }
}

/** Sorted frame intervals in ms, over a few seconds during which the script runs in each frame. */
async function framesOf(page: Page, script: string, { quick }: Bench): Promise<number[]> {
  const found = await page.evaluate(`new Promise((done) => {
    const times = [];
    const begin = performance.now();
    let last = begin;
    const next = (now) => {
      times.push(now - last);
      last = now;
      ${script};
      now - begin < ${quick ? 2000 : 6000} ? requestAnimationFrame(next) : done(times.slice(1));
    };
    requestAnimationFrame(next);
  })`);
  return (found as number[]).sort((a, b) => a - b);
}

function frameFigures(name: string, times: readonly number[]): Figure[] {
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? 0;
  const rate = (1000 * times.length) / times.reduce((sum, time) => sum + time, 0);
  const note = `${rate.toFixed(0)} frames a second`;
  return [
    { name: `${name}, median frame`, unit: 'ms', ours: at(0.5), goal: 20, slack: 3, note },
    { name: `${name}, 95 % of frames`, unit: 'ms', ours: at(0.95), goal: 50, slack: 3 },
  ];
}

const series = 10;
const rateHz = 100;
const batch = 10;

/** Sends telemetry as a device until the returned function is called. */
async function sendSeries(
  { client, mqtts, folder }: { client: RegistryClient; mqtts: string; folder: string },
  name: string,
): Promise<() => Promise<void>> {
  const out = join(folder, name);
  await provisionDevice({ client, name, type: 'virtual', out });
  const file = (of: string) => readFileSync(join(out, of));
  const identity = { cert: file('device.crt'), key: file('device.key'), ca: file('ca.crt') };
  const connection = await mqtt.connectAsync(mqtts, identity);
  let seq = 0;
  const timer = setInterval(
    () => {
      const columns = Object.fromEntries(
        Array.from({ length: series }, (_, c) => [
          `f${c}`,
          Array.from({ length: batch }, (_, i) => c + Math.sin((seq * batch + i) / (8 + c)) / 2),
        ]),
      );
      const message = { seq: seq++, t: Date.now() - (1000 * batch) / rateHz, rate: rateHz, ...columns };
      connection
        .publishAsync(`aiot/v1/${name}/telemetry/imu`, JSON.stringify(message), { qos: 1 })
        .catch(() => {});
    },
    (1000 * batch) / rateHz,
  );
  return async () => {
    clearInterval(timer);
    await connection.endAsync(true);
  };
}

// Baseline: a page served by nginx, as large as the dashboard, whose script only creates a heading.

/** @param bytes size to which a comment pads the script @param pki folder of the platform's certificate */
async function startStaticPage(folder: string, pki: string, bytes: number) {
  const nginx = await startNginx(folder, pki, Buffer.alloc(0));
  const www = join(folder, 'www');
  mkdirSync(www, { recursive: true });
  const page =
    '<!doctype html><html lang="en"><title>static</title><body><script src="page.js"></script></body></html>';
  writeFileSync(join(www, 'index.html'), page);
  const heading = `document.body.append(Object.assign(document.createElement('h1'), { textContent: 'static' }));`;
  writeFileSync(join(www, 'page.js'), `/*${'x'.repeat(bytes)}*/\n${heading}\n`);
  return nginx;
}
