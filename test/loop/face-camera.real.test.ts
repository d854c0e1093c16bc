import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { LoopResult } from '../../src/lib/loop/run/result.js';
import { openSource } from '../../src/lib/stream/open.js';
import { root, runCli } from '../support/cli.js';
import { startMosquitto } from '../support/mosquitto.js';
import { describeReal } from '../support/real.js';

const template = join(root, 'templates', 'face-camera');
let folder: string;
const kept = { ...process.env };
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-face-loop-'));
  for (const name of ['CONFIG', 'DATA', 'CACHE']) process.env[`AIOT_${name}_DIR`] = join(folder, name);
});
afterAll(async () => {
  for (const name of ['CONFIG', 'DATA', 'CACHE']) {
    const before = kept[`AIOT_${name}_DIR`];
    if (before === undefined) delete process.env[`AIOT_${name}_DIR`];
    else process.env[`AIOT_${name}_DIR`] = before;
  }
  await rm(folder, { recursive: true, force: true });
});

describeReal('mosquitto', 'templates/face-camera on the loop', () => {
  it('sends the faces from a simulated camera as grayscale PNGs, as the original detector does', async () => {
    const broker = await startMosquitto();
    const address = `mqtt://127.0.0.1:${broker.port}/faces`;
    const source = await openSource(address);
    const heard: Buffer[] = [];
    const hearing = (async () => {
      for await (const deliveries of source)
        for (const { message } of deliveries) heard.push(Buffer.from(message.payload));
    })();
    const before = await readdir(template);
    const { code, json } = await runCli([
      ...['loop', 'run', '--project', template, '--simulate', '--for', '3s'],
      ...['--out', address, '--send', 'always', '--json'],
    ]);
    expect(code).toBe(0);
    const result = json as LoopResult;
    expect(result.predictions).toBeGreaterThan(3);
    expect(result.outputs).toMatchObject([{ sent: result.predictions, waiting: 0, dropped: 0 }]);
    await expect.poll(() => heard.length).toBe(result.predictions);
    await source.close();
    await hearing;
    await broker.stop();
    for (const payload of heard) {
      const { format, channels, width, height } = await sharp(payload).metadata();
      expect({ format, channels }).toEqual({ format: 'png', channels: 1 });
      expect(Math.min(width, height)).toBeGreaterThan(40);
    }
    expect(await readdir(template)).toEqual(before);
  });
});
