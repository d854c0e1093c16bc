import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/lib/core/time.js';
import {
  createWindows,
  listMicrophones,
  openMicrophone,
  samplesOf,
  soundLevels,
} from '../../../src/lib/sensor/microphone.js';
import type { SampleBatch, SampleSource } from '../../../src/lib/sensor/types.js';

let folder: string;
let source: SampleSource | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-microphone-'));
});
afterEach(async () => {
  await source?.close();
  source = undefined;
  await rm(folder, { recursive: true });
});

/** Creates a substitute for arecord. */
async function program(script: string): Promise<string> {
  const path = join(folder, 'arecord');
  await writeFile(path, `#!${process.execPath}\n${script}`);
  await chmod(path, 0o755);
  return path;
}

/** A 1 kHz sine at half of full scale, in chunks that split frames, at the pace of the machine's clock. */
const sine = `
const rate = Number(process.argv[process.argv.indexOf('-r') + 1]);
const frames = rate / 20;
let at = 0;
setInterval(() => {
  const bytes = Buffer.alloc(frames * 2);
  for (let i = 0; i < frames; i++, at++) {
    bytes.writeInt16LE(Math.round(16384 * Math.sin((2 * Math.PI * 1000 * at) / rate)), 2 * i);
  }
  process.stdout.write(bytes.subarray(0, 333));
  process.stdout.write(bytes.subarray(333));
}, 50);
`;

async function take(from: SampleSource, samples: number): Promise<SampleBatch[]> {
  const batches: SampleBatch[] = [];
  let count = 0;
  for await (const batch of from) {
    batches.push(batch);
    count += batch.count;
    if (count >= samples) break;
  }
  return batches;
}

describe('a microphone', () => {
  it('delivers samples in units of full scale, and joins samples split between chunks', async () => {
    source = await openMicrophone('alsa://default?rate=8000', { program: await program(sine) });
    expect(source.rateHz).toBe(8000);
    expect(source.fields).toEqual([{ name: 'sound', unit: 'FS' }]);
    const batches = await take(source, 2000);
    const values = batches.flatMap((batch) => [...batch.values]);
    for (const [i, value] of values.entries()) {
      expect(Math.abs(value - 0.5 * Math.sin((2 * Math.PI * 1000 * i) / 8000))).toBeLessThan(1e-4);
    }
    const times = batches.flatMap((batch) => [...batch.times]);
    expect(times.every((time, i) => i === 0 || time > times[i - 1]!)).toBe(true);
  });

  it('delivers sound levels on request, in dB SPL by its sensitivity', async () => {
    source = await openMicrophone('alsa://default?rate=8000&level=125', { program: await program(sine) });
    expect(source.rateHz).toBe(8);
    expect(source.fields).toEqual([{ name: 'sound', unit: 'dB' }]);
    const [{ values }] = (await take(source, 1)) as [SampleBatch];
    // Half of full scale is −6.02 dBFS, and 94 dB SPL corresponds to −26 dBFS.
    expect(values[0]).toBeCloseTo(-6.02 + 26 + 94, 1);
  });

  it('passes the card, rate, channels, and format of the URL to arecord', async () => {
    await mkdir(join(folder, 'proc/asound/card1'), { recursive: true });
    await mkdir(join(folder, 'dev/snd'), { recursive: true });
    await writeFile(join(folder, 'dev/snd/pcmC1D0c'), '');
    await writeFile(join(folder, 'proc/asound/card1/id'), 'voicehat\n');
    await writeFile(
      join(folder, 'proc/asound/pcm'),
      '00-00: Headphones : Headphones : playback 8\n01-00: HiFi-0 : Google voiceHAT : capture 1\n',
    );
    const roots = { proc: join(folder, 'proc'), dev: join(folder, 'dev') };
    expect(await listMicrophones(roots)).toEqual([
      { card: 1, device: 0, id: 'voicehat', title: 'Google voiceHAT' },
    ]);
    const path = await program(`
      require('node:fs').writeFileSync(${JSON.stringify(join(folder, 'argv'))}, process.argv.slice(2).join(' '));
      process.stdout.write(Buffer.alloc(8));
      setInterval(() => {}, 1000);
    `);
    source = await openMicrophone('alsa://1?rate=48000&channels=2&bits=32', { ...roots, program: path });
    expect(source.fields.map(({ name }) => name)).toEqual(['sound0', 'sound1']);
    expect(await readFile(join(folder, 'argv'), 'utf8')).toContain(
      '-D plughw:CARD=voicehat,DEV=0 -t raw -f S32_LE -c 2 -r 48000',
    );
    await expect(openMicrophone('alsa://headphones', roots)).rejects.toMatchObject({
      code: 'AIOT_SENSOR_NOT_FOUND',
      next: 'Use one of alsa://voicehat.',
    });
  });

  it('counts overruns, and the samples lost in them', async () => {
    const step = (name: string) => join(folder, name);
    const path = await program(`
      const { existsSync } = require('node:fs');
      /** Acts once the test has created this file. */
      const once = (file, act) => {
        const looking = setInterval(() => {
          if (!existsSync(file)) return;
          clearInterval(looking);
          act();
        }, 10);
      };
      process.stdout.write(Buffer.alloc(1600));
      once(${JSON.stringify(step('overrun'))}, () => process.stderr.write('overrun!!! (at least 250.000 ms long)\\n'));
      once(${JSON.stringify(step('more'))}, () => process.stdout.write(Buffer.alloc(1600)));
      setInterval(() => {}, 1000);
    `);
    let now = 1_800_000_000_000;
    const clock = { ...systemClock, monotonic: () => now, now: () => now };
    const opened = await openMicrophone('alsa://default?rate=8000', { program: path, clock });
    source = opened;
    const batches = opened[Symbol.asyncIterator]();
    const first = (await batches.next()).value as SampleBatch;
    await writeFile(step('overrun'), '');
    await expect.poll(() => opened.faults.overruns).toBe(1);
    now += 300;
    await writeFile(step('more'), '');
    const second = (await batches.next()).value as SampleBatch;
    // 300 ms passed, 100 ms of which are in the second chunk.
    expect(second.lost).toBeGreaterThan(1000);
    expect(second.lost).toBeLessThan(3500);
    expect(source.faults.overruns).toBe(1);
    expect(second.times[0]! - first.times.at(-1)!).toBeGreaterThan(150);
  });

  it('restarts arecord when it ends, and discards the partial frame from before', async () => {
    const path = await program(`
      process.stdout.write(Buffer.from([0, 64, 0, 64, 0]));
      setTimeout(() => process.exit(1), 50);
    `);
    source = await openMicrophone('alsa://default', { program: path });
    const batches = await take(source, 4);
    expect(batches.flatMap(({ values }) => [...values])).toEqual([0.5, 0.5, 0.5, 0.5]);
    expect(source.faults.reconnects).toBe(1);
  });

  it('is lost if arecord ends repeatedly', async () => {
    const flag = JSON.stringify(join(folder, 'ran'));
    const path = await program(`
      const { existsSync, writeFileSync } = require('node:fs');
      if (existsSync(${flag})) { process.stderr.write('no such device\\n'); process.exit(1); }
      writeFileSync(${flag}, '');
      process.stdout.write(Buffer.alloc(64), () => process.exit(1));
    `);
    const clock = { now: () => Date.now(), sleep: async () => {} };
    source = await openMicrophone('alsa://default', { program: path, clock });
    await expect(take(source, 1000)).rejects.toMatchObject({
      code: 'AIOT_SENSOR_LOST',
      message: 'alsa:default: no such device',
    });
  });

  it('leaves no process behind when it is closed, even one that ignores SIGTERM', async () => {
    const pid = join(folder, 'pid');
    const path = await program(`
      process.on('SIGTERM', () => {});
      require('node:fs').writeFileSync(${JSON.stringify(pid)}, String(process.pid));
      setInterval(() => process.stdout.write(Buffer.alloc(64)), 10);
    `);
    source = await openMicrophone('alsa://default', { program: path });
    await source.close();
    const id = Number(await readFile(pid, 'utf8'));
    expect(() => process.kill(id, 0)).toThrow();
  });
});

describe('a microphone that cannot be opened', () => {
  it('explains what to install if arecord is missing', async () => {
    await expect(openMicrophone('alsa://default', { program: join(folder, 'none') })).rejects.toMatchObject({
      code: 'AIOT_SENSOR_TOOL',
      next: expect.stringContaining('alsa-utils'),
    });
  });

  it('reports arecord’s error if it exits immediately', async () => {
    const path = await program(
      `process.stderr.write('audio open error: Device or resource busy\\n'); process.exit(1);`,
    );
    await expect(openMicrophone('alsa://default', { program: path })).rejects.toMatchObject({
      code: 'AIOT_SENSOR_FAILED',
      message: 'alsa:default: audio open error: Device or resource busy',
    });
  });

  for (const url of [
    'alsa://default?rate=0',
    'alsa://default?rate=x',
    'alsa://default?bits=24',
    'alsa://default?gain=3',
  ]) {
    it(`rejects ${url}`, async () => {
      await expect(openMicrophone(url)).rejects.toMatchObject({ code: 'AIOT_SENSOR_URL' });
    });
  }
});

describe('audio samples', () => {
  it('are little-endian integers, with full scale at the most negative value', () => {
    expect([...samplesOf(Buffer.from([0x00, 0x80, 0xff, 0x7f, 0x01]), '16')]).toEqual([-1, 32767 / 32768]);
    expect([...samplesOf(Buffer.from([0, 0, 0, 0x80, 0, 0, 0, 0x40]), '32')]).toEqual([-1, 0.5]);
  });

  it('yield 94 dB for the sine in the INMP441 data sheet, with a peak of 420426 of 2²³ − 1', () => {
    const window = Float64Array.from(
      { length: 4800 },
      (_, i) => (420_426 / (2 ** 23 - 1)) * Math.sin(i / 3) + 0.01,
    );
    expect(soundLevels(window, 1, -26)[0]).toBeCloseTo(94, 1);
    expect(soundLevels(new Float64Array(100), 1, -26)).toEqual([0]);
  });

  it('are cut into windows wherever the chunks end', () => {
    const cut = createWindows(3);
    expect(cut(Float64Array.of(1, 2))).toEqual([]);
    expect(cut(Float64Array.of(3, 4, 5, 6, 7))).toEqual([Float64Array.of(1, 2, 3), Float64Array.of(4, 5, 6)]);
    expect(cut(Float64Array.of(8, 9))).toEqual([Float64Array.of(7, 8, 9)]);
  });
});
