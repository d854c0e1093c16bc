import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pcm16, writeWav } from '../../../src/lib/formats/wav.js';
import { openSensing } from '../../../src/lib/loop/sense/open.js';
import type { SensingContract, SensingEvent } from '../../../src/lib/loop/sense/types.js';
import { allOf } from './all-of.js';

const contract: SensingContract = {
  fields: ['x', 'y', 'z'].map((name) => ({ name, unit: 'g' })),
  rateHz: 100,
};
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'aiot-sense-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const write = async (name: string, text: string) => {
  await writeFile(join(folder, name), text);
  return `file:${join(folder, name)}`;
};
const rows = (count: number) =>
  Array.from(
    { length: count },
    (_, i) => `${i % 2 ? 'a' : 'b'},${Math.sin(i / 7)},${i / 3},${(1 - i) * 1e-9}`,
  );
const open = (sensor: string, more: Partial<SensingContract> = {}, onEvent?: (e: SensingEvent) => void) =>
  openSensing({ sensor, contract: { ...contract, ...more }, ...(onEvent ? { onEvent } : {}) });

describe('a CSV recording as a sensor', () => {
  it('passes samples at the contract’s rate through bit for bit, matching columns by name', async () => {
    const text = `note,z,x,y\n${rows(5000).join('\n')}\n`;
    const sensing = await open(`${await write('a.csv', text)}?rate=100&speed=max`);
    const { values, times, lost } = await allOf(sensing);
    expect(values.length).toBe(15_000);
    for (let i = 0; i < 5000; i++) {
      expect([values[i * 3], values[i * 3 + 1], values[i * 3 + 2]]).toEqual([
        i / 3,
        (1 - i) * 1e-9,
        Math.sin(i / 7),
      ]);
    }
    expect(times[4999]! - times[0]!).toBeCloseTo(49_990, 3);
    expect(lost).toEqual([]);
    const rates = sensing.rates();
    expect(rates).toMatchObject({ samples: 5000, lost: 0, gaps: 0 });
    expect(rates.rateHz).toBeCloseTo(100, 6);
    expect(rates.jitterP99Ms).toBeLessThan(1e-3);
  });

  it('is rejected before the first sample if a row is invalid, with its line and column', async () => {
    const file = await write('bad.csv', 'x,y,z\n1,2,3\n1,two,3\n');
    await expect(open(`${file}?speed=max`)).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      subject: 'csv',
      message: expect.stringMatching(/bad\.csv:3:3: expected a finite number for "?y"?, got "?two/),
    });
  });

  it('is rejected with the expected fields or values in the message', async () => {
    const file = await write('short.csv', 'x,y,w\n1,2,3\n');
    await expect(open(file)).rejects.toMatchObject({
      code: 'AIOT_SENSOR_UNFIT',
      message: expect.stringMatching(/short\.csv: expected z \(g\), got x, y, w$/),
    });
    const empty = await write('empty.csv', '');
    await expect(open(empty)).rejects.toMatchObject({ code: 'AIOT_CSV_EMPTY' });
    for (const speed of ['-1', '0', 'fast']) {
      await expect(open(`${file}?speed=${speed}`)).rejects.toMatchObject({
        message: expect.stringMatching(/^file: speed: expected (max|more)/),
      });
    }
    await expect(open(`${file}?map=q:w`)).rejects.toMatchObject({
      message: expect.stringMatching(/\?map= names q, but the project's fields are x, y, z$/),
    });
  });

  it('is resampled, with a notice, if ?rate= differs from the contract’s rate', async () => {
    const wave = Array.from({ length: 2000 }, (_, i) => {
      const v = Math.sin((2 * Math.PI * 5 * i) / 200);
      return `${v},${2 * v},1`;
    });
    const events: SensingEvent[] = [];
    const file = await write('fast.csv', `x,y,z\n${wave.join('\n')}\n`);
    const { values, times } = await allOf(
      await open(`${file}?rate=200&speed=max`, {}, (event) => events.push(event)),
    );
    const count = times.length;
    expect(count).toBeGreaterThan(940);
    for (let i = 1; i < count; i++) expect(times[i]! - times[i - 1]!).toBeCloseTo(10, 6);
    // Samples keep their positions in the recording, so the first output corresponds to input 48.
    for (let i = 0; i < count; i++) {
      const seconds = (i * 2 + 48) / 200;
      expect(values[i * 3]).toBeCloseTo(Math.sin(2 * Math.PI * 5 * seconds), 3);
      expect(values[i * 3 + 2]).toBeCloseTo(1, 12);
    }
    expect(events.map(({ text }) => text)).toEqual(['samples at 200.00 Hz are resampled to 100 Hz']);
  });

  it('plays at a given multiple of real time', async () => {
    const file = await write('slow.csv', `x,y,z\n${Array(60).fill('1,2,3').join('\n')}\n`);
    const began = performance.now();
    expect((await allOf(await open(`${file}?speed=2`))).times.length).toBe(60);
    const took = performance.now() - began;
    expect(took).toBeGreaterThan(270);
    expect(took).toBeLessThan(2000);
  });
});

describe('a WAV recording as a sensor', () => {
  const sound: Partial<SensingContract> = { fields: [{ name: 'audio', unit: 'FS' }], rateHz: 16_000 };
  const tone = (rateHz: number, hz: number) =>
    Float64Array.from({ length: rateHz / 2 }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hz * i) / rateHz));
  const wav = async (name: string, rateHz: number, ...channels: Float64Array[]) => {
    await writeFile(join(folder, name), writeWav({ rateHz, channels }));
    return `file:${join(folder, name)}`;
  };

  it('passes samples at the contract’s rate through, as in training', async () => {
    const sensing = await open(`${await wav('a.wav', 16_000, tone(16_000, 440))}?speed=max`, sound);
    const { values, times } = await allOf(sensing);
    expect([...values]).toEqual([...tone(16_000, 440).map(pcm16)]);
    expect(times[7999]! - times[0]!).toBeCloseTo(499.9375, 6);
  });

  it('is resampled, with a notice, if its rate differs', async () => {
    const events: SensingEvent[] = [];
    const file = await wav('b.WAV', 44_100, tone(44_100, 440));
    const { values } = await allOf(await open(`${file}?speed=max`, sound, (event) => events.push(event)));
    expect(events.map(({ text }) => text)).toEqual(['samples at 44100.00 Hz are resampled to 16000 Hz']);
    expect(values.length).toBeGreaterThan(7900);
    // The first output is at the earliest input that is preceded by the whole filter, which is 24 samples at
    // the lower rate.
    const start = Math.ceil((24 * 44_100) / 16_000) / 44_100;
    values.forEach((value, i) => {
      expect(value).toBeCloseTo(0.5 * Math.sin(2 * Math.PI * 440 * (start + i / 16_000)), 3);
    });
  });

  it('yields the mean of its channels, or the channel that ?map= names', async () => {
    const [left, right] = [tone(16_000, 300), tone(16_000, 900)];
    const file = await wav('c.wav', 16_000, left, right);
    const mixed = await allOf(await open(`${file}?speed=max`, sound));
    expect([...mixed.values]).toEqual([...left.map((v, i) => pcm16((pcm16(v) + pcm16(right[i]!)) / 2))]);
    const chosen = await allOf(await open(`${file}?speed=max&map=audio:sound1`, sound));
    expect([...chosen.values]).toEqual([...right.map(pcm16)]);
  });

  it('is rejected if it is damaged, or lacks a channel for a field', async () => {
    const file = await wav('d.wav', 100, tone(100, 5), tone(100, 6));
    await expect(open(file)).rejects.toMatchObject({ code: 'AIOT_DATA_COLUMNS' });
    await expect(open(`${file}?map=x:sound0,y:sound1,z:sound2`)).rejects.toMatchObject({
      code: 'AIOT_SENSOR_UNFIT',
    });
    await writeFile(join(folder, 'e.wav'), 'RIFF');
    await expect(open(`file:${join(folder, 'e.wav')}`, sound)).rejects.toMatchObject({
      code: 'AIOT_FILE_MALFORMED',
      subject: 'wav',
    });
  });
});
