import { execFile, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { root } from '../support/cli.js';
import { launchChromium } from '../support/dashboard.js';
import { describeReal } from '../support/real.js';

/** Runs a command, and returns its JSON. `codes`: exit codes that do not count as failures. */
type Aiot = (line: string, codes?: number[]) => Promise<Record<string, unknown>>;

const program = join(root, 'bin', 'run.js');
const stored = join(root, 'docs', 'images', 'screens');

// Takes the screenshots of docs/how-to/dashboard.md from a platform with a project, devices and rollouts, all made with aiot. `npm run
// screens` stores them in docs; otherwise, they are only compared with the page's.
describeReal('chromium', 'the screenshots of the dashboard', () => {
  it('show each page with its content, and the same sidebar as the documents', {
    timeout: 600_000,
  }, async () => {
    const home = await mkdtemp(join(tmpdir(), 'aiot-screens-'));
    const out = process.env.AIOT_SCREENS === 'write' ? stored : join(home, 'screens');
    await mkdir(out, { recursive: true });
    const env: NodeJS.ProcessEnv = { ...process.env, HOME: home };
    for (const name of Object.keys(env)) if (/^(XDG_|AIOT_)/.test(name)) delete env[name];
    const beside: ReturnType<typeof spawn>[] = [];
    const aside = (line: string) => {
      beside.push(
        spawn(process.execPath, [program, ...line.split(' ')], { cwd: home, env, stdio: 'ignore' }),
      );
    };
    const aiot: Aiot = async (line, codes = []) => {
      const args = [program, ...line.split(' '), '--json'];
      const options = { cwd: home, env, timeout: 300_000, maxBuffer: 1 << 26 };
      const { stdout } = await promisify(execFile)(process.execPath, args, options).catch((error) => {
        if (codes.includes(error.code)) return error;
        throw new Error(`${line}: ${error.stdout}`);
      });
      return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
    };
    const browser = await launchChromium();
    try {
      const pages = await live(aiot, aside);
      const { url } = await aiot('dashboard');
      const page = await browser.newPage({
        ignoreHTTPSErrors: true,
        viewport: { width: 1280, height: 860 },
        reducedMotion: 'reduce',
        locale: 'en-GB',
      });
      await page.goto(String(url));
      const sidebar = page.getByRole('navigation', { name: 'Pages' });
      await sidebar.waitFor();
      const entries = await sidebar.getByRole('listitem').allInnerTexts();
      await writeFile(join(out, 'sidebar.txt'), `${entries.join('\n')}\n`);
      const empty: string[] = [];
      for (const [name, hash] of Object.entries(pages)) {
        await page.goto(`${new URL(String(url)).origin}/#/${hash}`);
        if (!(await isFilled(page, name))) empty.push(name);
        const shot = await page.screenshot({ animations: 'disabled' });
        const file = join(out, `${name}.png`);
        await sharp(shot).png({ palette: true, colours: 128, compressionLevel: 9, effort: 10 }).toFile(file);
      }
      expect(empty).toEqual([]);
      expect(entries).toEqual((await readFile(join(stored, 'sidebar.txt'), 'utf8')).trim().split('\n'));
      const named = (await readFile(join(root, 'docs', 'how-to', 'dashboard.md'), 'utf8')).matchAll(
        /images\/screens\/([\w-]+)\.png/g,
      );
      expect([...named].map(([, name]) => name).sort()).toEqual(Object.keys(pages).sort());
    } finally {
      await browser.close();
      for (const child of beside) child.kill('SIGINT');
      await aiot('down').catch(() => undefined);
      await rm(home, { recursive: true, force: true });
    }
  });
});

/** Waits until a page shows its content. @returns whether it does, rather than an error or the state of an empty platform */
async function isFilled(page: Page, name: string): Promise<boolean> {
  if (name === 'map') await page.getByLabel('Color by').selectOption('model');
  await page.getByRole('heading').first().waitFor();
  // Charts of live telemetry fill within seconds.
  await sleep(name === 'device' || name === 'answers' ? 9000 : 1500);
  const text = (await page.getByRole('main').allInnerTexts()).join('\n');
  return text.length > 100 && !/^(No \w+ yet|Not found|Something failed)/m.test(text);
}

/** Generates 15 minutes of activity of a motor, its models and two fleets within one minute. */
async function live(aiot: Aiot, aside: (line: string) => void): Promise<Record<string, string>> {
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
  await aiot('user add alice --role operator');
  await aiot('user add hall-1 --role operator --selector site=hall-1');
  await aiot('token create laptop --user alice --role operator');
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
  return pagesOf(String(rollout.id), String(run));
}

/** Addresses of the pages by the name of their picture. */
function pagesOf(rollout: string, run: string): Record<string, string> {
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
    'new-rollout': 'rollouts/new?model=pump@2&selector=site%3Dhall-1',
    pipelines: 'pipelines',
    run: `pipelines/pump/${run}`,
    'training-runs': 'runs/pump',
    logs: 'logs',
    alarms: 'alarms',
    crashes: 'crashes',
    access: 'access',
    events: 'events',
  };
}
