// Takes the screenshots of docs/how-to/dashboard.md: npm run screens. Creates a platform, a project, devices and rollouts with aiot, and
// renders each page with Debian's Chromium. Runs dist/, so build first. Also writes the sidebar's entries, so that a test can tell when the
// screenshots are outdated.
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import sharp from 'sharp';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const out = join(root, 'docs', 'images', 'screens');
const home = mkdtempSync(join(tmpdir(), 'aiot-screens-'));
const program = join(root, 'bin', 'run.js');
/** @type {NodeJS.ProcessEnv} */
const env = { ...process.env, HOME: home };
for (const name of Object.keys(env)) if (/^(XDG_|AIOT_)/.test(name)) delete env[name];
/** @type {import('node:child_process').ChildProcess[]} */
const beside = [];

/** @param {string} line @param {number[]} [codes] exit codes that do not count as failures */
async function aiot(line, codes = [0]) {
  console.log(`$ aiot ${line}`);
  const args = [program, ...line.split(' '), '--json'];
  const options = { cwd: home, env, timeout: 300_000, maxBuffer: 1 << 26 };
  const { stdout } = await promisify(execFile)(process.execPath, args, options).catch((error) => {
    if (codes.includes(error.code)) return error;
    throw new Error(`${line}: ${error.stdout}`);
  });
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
}

/** Starts a command that runs until the script ends. @param {string} line */
function aside(line) {
  console.log(`$ aiot ${line} &`);
  beside.push(spawn(process.execPath, [program, ...line.split(' ')], { cwd: home, env, stdio: 'ignore' }));
}

/** Generates 15 minutes of activity of a motor, its models and two fleets within one minute. */
async function live() {
  await aiot('init pump --template motor-watch');
  await aiot('up --detach --http-port 0 --mqtt-port 0');
  aside('fleet simulate --count 40 --template press-###,site=hall-1 --latency 5..40ms');
  await aiot('device provision bench-1 --type virtual --out bench-1');
  await aiot('device provision bench-2 --type virtual --out bench-2');
  aside('device simulate bench-1 --motor imbalance --predict');
  aside('device simulate bench-2 --motor healthy');
  await aiot('alarm create --name anomaly --class anomaly --within 1m --where share>0.5 --severity critical');
  await aiot(
    'alarm create --name outage --offline-devices --selector site=hall-1 --where share>0.05 --for 2m',
  );
  await aiot('alarm create --name mute --absent 10m --selector site=hall-1');
  await aiot('device call bench-2 crash');
  const { run } = await aiot('pipeline run --project pump', [0, 3]);
  aside('fleet simulate --count 24 --template fan-##,site=roof --fail-rate 30% --latency 5..40ms');
  for (const layers of ['4', '8', '12-6', '24'])
    await aiot(`model train --project pump --folds 3 --seed 11 --layers ${layers}`);
  await aiot('model train --project pump --folds 3 --seed 11');
  await aiot('model quantize --project pump');
  await aiot('model evaluate --project pump');
  await aiot('model push --project pump');
  await aiot('model promote pump@1 --to staging');
  await aiot('rollout start --model pump@1 --selector name=bench-2 --wait');
  await aiot('model promote pump@1 --to production');
  await aiot('rollout start --model pump@2 --selector site=roof --waves 3,8,100% --wait', [0, 6]);
  const rollout = await aiot(
    'rollout start --model pump@2 --selector site=hall-1 --waves 2,10,100% --soak 10m',
  );
  return pagesOf(rollout.id, run);
}

/** Addresses of the pages. @param {string} rollout @param {string} run @returns {Record<string, string>} */
function pagesOf(rollout, run) {
  return {
    start: '',
    devices: 'devices',
    map: 'devices?view=map',
    device: 'devices/bench-2',
    answers: 'devices/bench-1',
    models: 'models',
    model: 'models/pump/2',
    compare: 'models/pump/compare?a=1&b=2',
    datasets: 'datasets',
    rollouts: 'rollouts',
    rollout: `rollouts/${rollout}`,
    pipelines: 'pipelines',
    run: `pipelines/pump/${run}`,
    'training-runs': 'runs/pump',
    alarms: 'alarms',
    crashes: 'crashes',
    events: 'events',
  };
}

/** @param {Record<string, string>} pages @param {string} url of the login */
async function shoot(pages, url) {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--font-render-hinting=none'],
  });
  try {
    const page = await browser.newPage({
      ignoreHTTPSErrors: true,
      viewport: { width: 1280, height: 860 },
      reducedMotion: 'reduce',
      locale: 'en-GB',
    });
    await page.goto(url);
    const sidebar = page.getByRole('navigation', { name: 'Pages' });
    await sidebar.waitFor();
    const entries = await sidebar.getByRole('listitem').allInnerTexts();
    writeFileSync(join(out, 'sidebar.txt'), `${entries.join('\n')}\n`);
    for (const [name, hash] of Object.entries(pages)) {
      await page.goto(`${new URL(url).origin}/#/${hash}`);
      if (name === 'map') await page.getByLabel('Color by').selectOption('model');
      await sleep(name === 'device' || name === 'answers' ? 9000 : 1500);
      await save(await page.screenshot({ animations: 'disabled' }), name);
    }
  } finally {
    await browser.close();
  }
}

/** @param {Buffer} shot @param {string} name */
async function save(shot, name) {
  const file = join(out, `${name}.png`);
  await sharp(shot).png({ palette: true, colours: 128, compressionLevel: 9, effort: 10 }).toFile(file);
  console.log(file);
}

if (!existsSync('/usr/bin/chromium')) throw new Error('/usr/bin/chromium is missing');
mkdirSync(out, { recursive: true });
try {
  const pages = await live();
  const { url } = await aiot('dashboard');
  await shoot(pages, url);
} finally {
  for (const child of beside) child.kill('SIGINT');
  await aiot('down').catch(() => undefined);
  rmSync(home, { recursive: true, force: true });
}
