import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError } from '../../core/index.js';

/** Families of 1-wire whose members say a temperature: DS18B20, DS18S20, DS1822, DS28EA00, MAX31850. */
const families = ['28', '10', '22', '42', '3b'];

/** Thermometers on this machine's 1-wire buses, as the kernel names them: `28-0316a4f9d2ff`. */
export async function listThermometers(sysfs = '/sys'): Promise<string[]> {
  const names = await readdir(join(sysfs, 'bus', 'w1', 'devices')).catch(() => []);
  return names.filter((name) => families.some((family) => name.startsWith(`${family}-`))).sort();
}

/**
 * A thermometer's °C of what its `w1_slave` says: nine bytes twice, the verdict on their checksum, and the temperature in thousandths
 * (Linux, Documentation/w1/slaves/w1_therm).
 * @returns undefined for a reading that was disturbed, the value that a DS18B20 has before it has measured (85 °C), and that of one
 * without enough power (127.937 °C)
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
  // A wire that is held low reads as zeros, whose checksum is right.
  if (bytes.every((byte) => byte === 0)) return undefined;
  const value = Number(thousandths) / 1000;
  // Byte 6 of a fresh DS18B20 is 0x0C while its temperature is the one it wakes up with.
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

/** @throws AIOT_SENSOR_NOT_FOUND with those that there are; AIOT_SENSOR_URL where none is named and there are several */
export async function findThermometer(wanted: string, sysfs = '/sys'): Promise<string> {
  const all = await listThermometers(sysfs);
  const found = wanted === '' && all.length === 1 ? all[0]! : wanted;
  if (all.includes(found)) return join(sysfs, 'bus', 'w1', 'devices', found);
  const there = all.map((name) => `w1://${name}`).join(', ');
  if (wanted === '' && all.length > 1) {
    throw new AiotError('AIOT_SENSOR_URL', 'w1: there are several thermometers, and none is named', {
      next: `Name one: ${there}`,
    });
  }
  throw new AiotError(
    'AIOT_SENSOR_NOT_FOUND',
    `no thermometer ${wanted === '' ? '' : `${wanted} `}on 1-wire`,
    {
      next:
        there === ''
          ? 'Add dtoverlay=w1-gpio to /boot/firmware/config.txt and restart.'
          : `There is ${there}.`,
    },
  );
}
