import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openSource } from '../../src/lib/stream/open.js';
import { root } from '../support/cli.js';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.js';
import { describeReal } from '../support/real.js';
import { startRedis } from '../support/redis.js';

let folder: string;
let children: ChildProcess[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-outputs-'));
  children = [];
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

/** Starts a process that sends predictions; `safe` is the last one that the broker or the disk has stored. */
function putter(url: string, first: number) {
  const child = spawn(
    process.execPath,
    [
      '--import',
      'tsx',
      join(root, 'test', 'support', 'putter.ts'),
      url,
      join(folder, 'spool'),
      String(first),
    ],
    { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  children.push(child);
  let text = '';
  child.stdout.on('data', (chunk) => {
    text += chunk;
  });
  return {
    get safe() {
      const lines = text.split('\n').slice(0, -1);
      return Number(lines.at(-1) ?? first - 1);
    },
    async kill() {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function until(is: () => boolean, ms = 20_000): Promise<void> {
  for (let waited = 0; !is(); waited += 20) {
    if (waited > ms) throw new Error(`not within ${ms} ms: ${is}`);
    await delay(20);
  }
}

describeReal('mosquitto', 'predictions sent to an intermittent broker', () => {
  let broker: Mosquitto;
  beforeEach(async () => {
    broker = await startMosquitto({ settings: ['persistence true'] });
  });
  afterEach(() => broker.stop());

  it('arrive completely and in order across an outage and a kill -9, with few duplicates', async () => {
    const heard: number[] = [];
    const source = await openSource(
      `mqtt://127.0.0.1:${broker.port}/answers?clientId=judge&clean=false&qos=1`,
    );
    const reading = (async () => {
      for await (const batch of source) {
        for (const { message, ack } of batch) {
          heard.push(JSON.parse(Buffer.from(message.payload).toString()).window);
          ack();
        }
      }
    })();
    const url = `mqtt://127.0.0.1:${broker.port}/answers`;
    const first = putter(url, 0);
    await until(() => first.safe >= 20);
    const down = broker.restart({ downMs: 1500 });
    await delay(1000);
    // The broker is down, so predictions are written to disk.
    const before = first.safe;
    await until(() => first.safe > before + 20);
    await first.kill();
    const killed = first.safe;
    await down;
    const second = putter(url, killed + 1);
    await until(() => second.safe >= killed + 20);
    await until(() => heard.includes(killed + 20));
    await second.kill();
    await source.close();
    await reading;
    const missing = Array.from({ length: killed + 20 }, (_, i) => i).filter(
      (window) => !heard.includes(window),
    );
    expect(missing).toEqual([]);
    // Without duplicates, the predictions are in order.
    const seen = new Set<number>();
    const firsts = heard.filter((window) => !seen.has(window) && seen.add(window));
    expect(firsts).toEqual(firsts.toSorted((a, b) => a - b));
    expect(heard.length - firsts.length).toBeLessThan(150);
  }, 60_000);
});

describeReal('redis', 'predictions sent to Redis', () => {
  it('resume automatically after an outage, and the newest one is stored', async () => {
    const redis = await startRedis();
    try {
      const putting = putter(`redis://127.0.0.1:${redis.port}/motion:last`, 0);
      await until(() => putting.safe >= 5);
      await redis.kill();
      const before = putting.safe;
      await until(() => putting.safe > before + 20);
      await redis.start();
      const newest = async () => JSON.parse((await redis.cli('GET', 'motion:last')) || 'null')?.window;
      await expect.poll(newest, { timeout: 30_000 }).toBeGreaterThan(before + 20);
      await putting.kill();
    } finally {
      await redis.stop();
    }
  }, 60_000);
});
