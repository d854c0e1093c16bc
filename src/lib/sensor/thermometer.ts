import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, systemCode } from '../core/errors.js';
import { type Clock, systemClock } from '../core/time.js';
import { steady, WallTime } from './host-clock.js';
import type { MachineOptions, SampleBatch, SampleSource, SourceFaults } from './types.js';
import { parseSensorUrl, positive, readSettings } from './url.js';

/** Maximum samples per second, because a conversion takes 0.75 s. */
const mostRateHz = 1;

/** Maximum number of consecutive readings that may fail. */
const mostFailures = 10;

/**
 * Opens a DS18B20 or a related chip on Linux's 1-wire: `w1://28-0316a4f9d2ff?rate=0.1`, or `w1://` if there is only one. Each reading
 * starts a new measurement, which takes three quarters of a second in the kernel.
 * @throws AIOT_SENSOR_URL, AIOT_SENSOR_NOT_FOUND
 */
export async function openThermometer(url: string, options: MachineOptions = {}): Promise<SampleSource> {
  const parsed = parseSensorUrl(url);
  const { rate } = readSettings(parsed, {
    /** Samples per second; default 1. */
    rate: positive.pipe(z.number().max(mostRateHz, 'expected at most 1')).prefault('1'),
  });
  const folder = await findThermometer(parsed.place, options.sysfs);
  const closing = new AbortController();
  const faults = { overruns: 0, retries: 0, reconnects: 0 };
  const batches = poll(join(folder, 'w1_slave'), rate, faults, options.clock ?? systemClock, closing.signal);
  return {
    endpoint: parsed.endpoint,
    fields: [{ name: 'temperature', unit: 'degC' }],
    rateHz: rate,
    faults,
    [Symbol.asyncIterator]: () => batches,
    async close() {
      closing.abort();
    },
  };
}

async function* poll(
  file: string,
  rateHz: number,
  faults: SourceFaults,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<SampleBatch> {
  const wall = new WallTime(clock);
  const { now } = steady(clock);
  let [failures, lost, last] = [0, 0, Number.NEGATIVE_INFINITY];
  for (let due = now(); !signal.aborted; ) {
    const value = parseReading(await readSlave(file));
    if (signal.aborted) return;
    if (value === undefined) {
      if (++failures >= mostFailures)
        throw lostError(file, `${failures} consecutive readings were corrupted`);
      faults.retries++;
      lost++;
    } else {
      const { offsetMs, stepMs } = wall.follow();
      last = Math.max(now() + offsetMs, last + 1e-3);
      const batch = { values: Float64Array.of(value), times: Float64Array.of(last), count: 1, lost };
      yield stepMs > 0 ? { ...batch, clockStepMs: stepMs } : batch;
      [failures, lost] = [0, 0];
    }
    due = Math.max(due + 1000 / rateHz, now());
    await clock.sleep(due - now(), signal).catch(() => {});
  }
}

async function readSlave(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    // The bus did not respond this time. If the sensor were disconnected, its file would be missing.
    if (systemCode(error) === 'EIO' || systemCode(error) === 'EAGAIN') return '';
    throw lostError(file, 'it was disconnected', error);
  }
}

function lostError(file: string, why: string, cause?: unknown): AiotError {
  const details = { endpoint: file, retryable: true };
  return new AiotError(
    'AIOT_SENSOR_LOST',
    `${file}: ${why}`,
    cause === undefined ? details : { ...details, cause },
  );
}

/** 1-wire families whose members measure temperature: DS18B20, DS18S20, DS1822, DS28EA00, MAX31850. */
const families = ['28', '10', '22', '42', '3b'];

/** Thermometers on this machine's 1-wire buses, by their kernel names: `28-0316a4f9d2ff`. */
async function listThermometers(sysfs = '/sys'): Promise<string[]> {
  const names = await readdir(join(sysfs, 'bus', 'w1', 'devices')).catch(() => []);
  return names.filter((name) => families.some((family) => name.startsWith(`${family}-`))).sort();
}

/**
 * Parses the temperature in a thermometer's `w1_slave` file, °C. The file contains nine bytes twice, the result of their checksum, and the
 * temperature in thousandths of a degree (Linux, Documentation/w1/slaves/w1_therm).
 * @returns undefined for a corrupted reading, for the power-on value of a DS18B20 (85 °C), and for the value at insufficient power (127.937
 * °C)
 */
export function parseReading(text: string): number | undefined {
  const [first = '', second = ''] = text.split('\n');
  const thousandths = /t=(-?\d+)\s*$/.exec(second)?.[1];
  if (!/crc=[0-9a-f]{2} YES\s*$/.test(first) || thousandths === undefined) return undefined;
  const bytes = first
    .split(' ')
    .slice(0, 9)
    .map((byte) => Number.parseInt(byte, 16));
  if (bytes.length < 9 || checksum(bytes.slice(0, 8)) !== bytes[8]) return undefined;
  // If the wire is held low, all bytes are zero, and their checksum is valid.
  if (bytes.every((byte) => byte === 0)) return undefined;
  const value = Number(thousandths) / 1000;
  // In a DS18B20 that has not measured yet, the temperature is the power-on value, and byte 6 is 0x0C.
  const unmeasured = value === 85 && bytes[6] === 0x0c;
  return unmeasured || value > 125 ? undefined : value;
}

/** CRC-8 of Dallas: x⁸ + x⁵ + x⁴ + 1, lowest bit first. */
function checksum(bytes: readonly number[]): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >> 1 : (crc >> 1) ^ 0x8c;
  }
  return crc;
}

/** @throws AIOT_SENSOR_NOT_FOUND listing the available thermometers; AIOT_SENSOR_URL if none is named and there are several */
async function findThermometer(wanted: string, sysfs = '/sys'): Promise<string> {
  const all = await listThermometers(sysfs);
  const found = wanted === '' && all.length === 1 ? all[0]! : wanted;
  if (all.includes(found)) return join(sysfs, 'bus', 'w1', 'devices', found);
  const there = all.map((name) => `w1://${name}`).join(', ');
  if (wanted === '' && all.length > 1) {
    throw new AiotError('AIOT_SENSOR_URL', 'w1: several thermometers are connected, and none is specified', {
      next: `Choose one: ${there}`,
    });
  }
  throw new AiotError(
    'AIOT_SENSOR_NOT_FOUND',
    `no thermometer ${wanted === '' ? '' : `${wanted} `}is connected to 1-wire`,
    {
      next:
        there === ''
          ? 'Add dtoverlay=w1-gpio to /boot/firmware/config.txt and reboot.'
          : `Use one of ${there}.`,
    },
  );
}
