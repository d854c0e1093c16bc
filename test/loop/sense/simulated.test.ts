import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadProject } from '../../../src/lib/core/project.js';
import { openDataset } from '../../../src/lib/data/dataset/open.js';
import { parseAddress } from '../../../src/lib/loop/sense/address.js';
import { openMachine } from '../../../src/lib/loop/sense/machine.js';
import { measureSensor, openSensing } from '../../../src/lib/loop/sense/open.js';
import { sensingOf } from '../../../src/lib/loop/sense/sensing.js';
import { createVirtualClock } from '../../../src/lib/loop/sense/time.js';
import type { SensingContract, SensingEvent } from '../../../src/lib/loop/sense/types.js';
import type { Sensing } from '../../../src/lib/loop/types.js';
import { simulatedBus } from '../../../src/lib/sensor/i2c/simulated-bus.js';
import { root } from '../../support/cli.js';
import { motion } from './fake-source.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-made-up-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function contractOf(
  template: string,
): Promise<{ project: Awaited<ReturnType<typeof loadProject>>; contract: SensingContract }> {
  const project = await loadProject(join(root, 'templates', template));
  const fields = Object.entries(project.config.stream.fields).map(([name, { unit }]) => ({ name, unit }));
  return { project, contract: { fields, rateHz: project.config.signal.rate } };
}

/** Returns at most the first `most` samples. */
async function first(sensing: Sensing, most: number) {
  const values: number[] = [];
  const times: number[] = [];
  let lost = 0;
  for await (const batch of sensing) {
    values.push(...batch.values.subarray(0, batch.count * sensing.fields.length));
    times.push(...batch.times.subarray(0, batch.count));
    lost += batch.lost;
    if (times.length >= most) break;
  }
  await sensing.close();
  return { values, times, lost };
}

describe('a simulated motion sensor', () => {
  it('plays the project’s recordings through registers, FIFO, and resampling at the contract’s rate', async () => {
    const { project, contract } = await contractOf('har-imu');
    const events: SensingEvent[] = [];
    const sensing = await openSensing({
      contract,
      simulate: { project, speed: 'max' },
      onEvent: (event) => events.push(event),
    });
    const { values, times, lost } = await first(sensing, 60_000);
    expect(lost).toBe(0);
    expect((times.at(-1)! - times[0]!) / (times.length - 1)).toBeCloseTo(10, 6);
    const rates = sensing.rates();
    expect(rates).toMatchObject({ lost: 0, gaps: 0 });
    expect(Math.abs(rates.rateHz! / 104 - 1)).toBeLessThan(0.021);
    expect(events.map(({ kind }) => kind)).toEqual(['simulated', 'resampling']);
    // The sensor reproduces the recordings, so the mean magnitude of the acceleration is the same within 1 %.
    const dataset = await openDataset(project);
    const size = (x: number, y: number, z: number) => Math.sqrt(x * x + y * y + z * z);
    let felt = 0;
    for (let i = 0; i < times.length; i++)
      felt += size(values[i * 3]!, values[i * 3 + 1]!, values[i * 3 + 2]!) / times.length;
    let [sum, count] = [0, 0];
    for (const { columns } of dataset.recordings) {
      for (let i = 0; i < columns[0]!.length; i++) {
        sum += size(columns[0]![i]!, columns[1]![i]!, columns[2]![i]!);
        count++;
      }
    }
    expect(Math.abs(felt / (sum / count) - 1)).toBeLessThan(0.05);
  });

  it('produces the same samples with the same seed, and different ones with another', async () => {
    const { project, contract } = await contractOf('har-imu');
    const run = async (seed: number) =>
      (
        await first(await openSensing({ contract, simulate: { project, speed: 'max', seed } }), 500)
      ).values.slice(0, 900);
    expect(await run(5)).toEqual(await run(5));
    expect(await run(5)).not.toEqual(await run(6));
  });

  it('runs in real time by default', async () => {
    const { project, contract } = await contractOf('har-imu');
    const clock = createVirtualClock(1_795_000_000_000);
    const sensing = await openSensing({ contract, clock, simulate: { project } });
    const { times } = await first(sensing, 1000);
    expect(clock.now() - 1_795_000_000_000).toBeGreaterThan(9900);
    expect(clock.now() - times.at(-1)!).toBeLessThan(2500);
  });

  it('simulates swaying on a thread if the project has no recordings yet', async () => {
    const dir = join(folder, 'bare');
    await cp(join(root, 'templates', 'har-imu', 'aiot.yaml'), join(dir, 'aiot.yaml'));
    const { contract } = await contractOf('har-imu');
    const events: SensingEvent[] = [];
    const project = await loadProject(dir);
    const sensing = await openSensing({
      contract,
      simulate: { project, speed: 'max' },
      onEvent: (event) => events.push(event),
    });
    expect((await first(sensing, 500)).times.length).toBeGreaterThanOrEqual(500);
    expect(events[0]?.text).toMatch(/^a simulated motion sensor, swaying on a thread/);
  });
});

it('a simulated sensor simulates a motor for a motor project, with a new state every minute', async () => {
  const { project, contract } = await contractOf('motor-watch');
  const sensing = await openSensing({ contract, simulate: { project, speed: 'max' } });
  const { values } = await first(sensing, 200 * 60 * 10);
  expect(sensing.rateHz).toBe(200);
  // Each of the five states occurs twice; a high current identifies the blocked rotor.
  const minutes = Array.from({ length: 10 }, (_, m) => values[(m * 12_000 + 6000) * 4]!);
  expect(minutes.filter((current) => current > 1.4).length).toBe(2);
});

describe('a chip on a bus', () => {
  const open = async (query = '') => {
    const clock = createVirtualClock(1_795_000_000_000);
    const bus = simulatedBus({ chips: ['lsm6ds3tr-c'], clock, odrError: 1.015 });
    const events: SensingEvent[] = [];
    const tell = (kind: SensingEvent['kind'], text: string) =>
      void events.push({ t: clock.now(), kind, text });
    const address = parseAddress(`i2c://sim/lsm6ds3tr-c?rate=104&gyro=off${query}`);
    const source = await openMachine(address, { clock, tell, bus, signal: new AbortController().signal });
    const sensing = sensingOf(source, address, motion, { clock, tell, monotonicMs: () => clock.now() });
    return { clock, bus, sensing, events };
  };

  it('resumes after being unplugged for ten seconds, and counts the gap by time', async () => {
    const { clock, bus, sensing, events } = await open();
    const began = clock.now();
    const chip = bus.chip('lsm6ds3tr-c');
    let [off, on] = [false, false];
    const breaks: number[] = [];
    const times: number[] = [];
    for await (const batch of sensing) {
      if (batch.lost > 0) breaks.push(times.length);
      times.push(...batch.times);
      const passed = clock.now() - began;
      if (passed > 20_000 && !off) {
        off = true;
        chip.unplug();
        void clock.sleep(10_000).then(() => {
          on = true;
          chip.replug();
        });
      }
      if (on && passed > 50_000) break;
    }
    await sensing.close();
    expect(breaks.length).toBe(1);
    const gapMs = times[breaks[0]!]! - times[breaks[0]! - 1]!;
    expect(gapMs).toBeGreaterThan(9500);
    expect(gapMs).toBeLessThan(16_000);
    const { lost, gaps } = sensing.rates();
    expect(gaps).toBe(1);
    expect(Math.abs(lost / ((gapMs / 1000) * 105.56) - 1)).toBeLessThan(0.05);
    expect(sensing.faults.reconnects).toBe(1);
    expect(events.map(({ kind }) => kind).sort()).toEqual(['found', 'gap', 'lost', 'resampling']);
    for (let i = 1; i < times.length; i++) {
      if (i !== breaks[0]) expect(times[i]! - times[i - 1]!).toBeCloseTo(10, 1);
    }
  });

  it('is measured for aiot loop check', async () => {
    const clock = createVirtualClock(1_795_000_000_000);
    const sensor = 'i2c://sim/lsm6ds3tr-c?rate=104&selftest=off';
    const got = await measureSensor({ sensor, contract: motion, clock }, 10);
    expect(got).toMatchObject({ contractHz: 100, lost: 0, gaps: 0, endpoint: 'i2c:sim/lsm6ds3tr-c' });
    expect(got.seconds).toBeCloseTo(10, 0);
    expect(got.samples).toBeGreaterThan(980);
    expect(got.rateHz).toBeCloseTo(104, 0);
    expect(Math.hypot(...got.newest!)).toBeCloseTo(1, 0);
  });
});
