import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openThermometer, parseReading } from '../../../src/lib/sensor/thermometer.js';
import { testClock } from '../i2c/support.js';

/** The content of the kernel's w1_slave file. */
const slave = (bytes: string, thousandths: number, verdict = 'YES') =>
  `${bytes} : crc=${bytes.slice(-2)} ${verdict}\n${bytes} t=${thousandths}\n`;
/** 25.0625 °C. */
const warm = slave('91 01 4b 46 7f ff 0f 10 25', 25_062);
/** A scratchpad before the first conversion, from the data sheet: 85 °C. */
const fresh = slave('50 05 4b 46 7f ff 0c 10 1c', 85_000);

let root: string;
let file: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'aiot-w1-'));
  const folder = join(root, 'bus/w1/devices/28-0316a4f9d2ff');
  await mkdir(folder, { recursive: true });
  file = join(folder, 'w1_slave');
  await writeFile(file, warm);
});
afterEach(() => rm(root, { recursive: true }));

describe('a 1-Wire thermometer reading', () => {
  it('is in thousandths of a degree, with a checksum', () => {
    expect(parseReading(warm)).toBe(25.062);
  });
  const disturbed = [
    ['a checksum that the kernel rejects', slave('91 01 4b 46 7f ff 0f 10 25', 25_062, 'NO')],
    ['a checksum that is wrong', slave('92 01 4b 46 7f ff 0f 10 25', 25_062)],
    ['a wire that is held low', slave('00 00 00 00 00 00 00 00 00', 0)],
    ['the value before the first measurement', fresh],
    ['too little power', warm.replace('t=25062', 't=127937')],
    ['nothing', ''],
  ] as const;
  for (const [name, text] of disturbed) {
    it(`is invalid: ${name}`, () => {
      expect(parseReading(text)).toBeUndefined();
    });
  }
});

describe('a 1-Wire thermometer', () => {
  it('is found if it is the only one, and keeps its rate', async () => {
    const clock = testClock();
    const source = await openThermometer('w1://?rate=0.5', { sysfs: root, clock });
    expect(source.fields).toEqual([{ name: 'temperature', unit: 'degC' }]);
    const times: number[] = [];
    for await (const {
      values,
      times: [time],
    } of source) {
      expect(values[0]).toBe(25.062);
      times.push(time!);
      if (times.length === 5) break;
    }
    expect(times[4]! - times[0]!).toBe(8_000);
  });

  it('skips and counts invalid readings, and is lost when its file disappears', async () => {
    const clock = testClock();
    const { sleep } = clock;
    const source = await openThermometer('w1://28-0316a4f9d2ff', { sysfs: root, clock });
    const iterator = source[Symbol.asyncIterator]();
    await iterator.next();
    await writeFile(file, fresh);
    let slept = 0;
    clock.sleep = async (ms) => {
      await sleep(ms);
      if (++slept === 3) await writeFile(file, warm);
    };
    expect((await iterator.next()).value.lost).toBe(2);
    expect(source.faults.retries).toBe(2);
    await rm(file);
    await expect(iterator.next()).rejects.toMatchObject({ code: 'AIOT_SENSOR_LOST' });
  });

  it('is reported as missing, along with the available ones', async () => {
    await expect(openThermometer('w1://28-1', { sysfs: root })).rejects.toMatchObject({
      code: 'AIOT_SENSOR_NOT_FOUND',
      next: 'Use one of w1://28-0316a4f9d2ff.',
    });
    await expect(openThermometer('w1://?rate=5', { sysfs: root })).rejects.toMatchObject({
      code: 'AIOT_SENSOR_URL',
    });
  });
});
