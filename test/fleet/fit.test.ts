import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import { firmwareMisfits, modelMisfits } from '../../src/lib/fleet/rollout/fit.js';
import { boardMemory, modelMemoryOf } from '../../src/lib/model/bundle/board-memory.js';
import { root } from '../support/cli.js';

const needs = {
  name: 'words@2',
  sequence: 7,
  active: 75_000,
  trial: 78_400,
  fields: ['sound'],
  rateHz: 16_000,
};
const idle = { model: null };
const sensor = { stream: 'microphone', fields: ['sound'], rate: 16_000, unfit: null };

describe('the fit of a model', () => {
  it('names the devices that report too little memory, with both sizes', () => {
    const memory = { bytes: 15_104, free: 15_104 };
    const full = { bytes: 90_000, free: 15_000 };
    const devices = [
      { name: 'small', type: 'esp32', reported: { ...idle, memory } },
      { name: 'full', type: 'esp32s3', reported: { ...idle, memory: full } },
      { name: 'large', type: 'esp32s3', reported: { ...idle, memory: { bytes: 90_000, free: 90_000 } } },
    ];
    expect(modelMisfits(needs, devices)).toEqual({
      short:
        'words@2 needs at least 75,000 bytes of memory for models, and 78,400 during its trial, but 2 devices have less: small (has 15,104), full (has 15,000 free beside its active model)',
      warnings: [],
    });
  });

  it('warns about a board type whose default firmware has too little memory, unless the device reports its own', () => {
    const devices = [
      { name: 'new', type: 'esp32', reported: null },
      { name: 'enlarged', type: 'esp32', reported: { ...idle, memory: { bytes: 99_000, free: 99_000 } } },
      { name: 'pi', type: 'pi', reported: null },
    ];
    const { short, warnings } = modelMisfits(needs, devices);
    expect(short).toBeNull();
    expect(warnings).toEqual([
      'AIOT_MEMORY_SHORT is likely on 1 device unless the firmware has a larger AIOT_MEMORY_BYTES: words@2 needs at least 75,000 bytes of memory for models, and 78,400 during its trial, the default firmware has less: new (esp32: 15,104)',
    ]);
  });

  it('warns about sensors with other fields or another rate', () => {
    const devices = [
      { name: 'fits', type: 'pi', reported: { ...idle, sensor } },
      { name: 'slow', type: 'pi', reported: { ...idle, sensor: { ...sensor, rate: 8000 } } },
      { name: 'levels', type: 'pi', reported: { ...idle, sensor: { ...sensor, fields: ['rms', 'peak'] } } },
    ];
    expect(modelMisfits(needs, devices).warnings).toEqual([
      'AIOT_RECORDING_UNFIT on 2 devices, which will commit words@2 but predict nothing: it expects sound at 16000 Hz. Unfit: slow (sends microphone at 8000 Hz), levels (sends rms, peak in microphone)',
    ]);
    expect(modelMisfits({ ...needs, rateHz: null }, devices.slice(0, 2)).warnings).toEqual([]);
  });

  it('ignores devices that already run the model', () => {
    const model = { name: 'words', version: 2, sequence: 7, digest: `sha256:${'0'.repeat(64)}` };
    const reported = { model, memory: { bytes: 1, free: 1 }, sensor: { ...sensor, rate: 1 } };
    expect(modelMisfits(needs, [{ name: 'current', type: 'esp32', reported }])).toEqual({
      short: null,
      warnings: [],
    });
  });
});

it('the memory of each board is that of settings.h', () => {
  const text = readFileSync(join(root, 'firmware/hal/esp32/main/settings.h'), 'utf8');
  const kib = (name: string) =>
    [...text.matchAll(new RegExp(`${name} \\(?(\\d+)u`, 'g'))].map(([, n]) => Number(n));
  expect(kib('AIOT_CHIP_MEMORY_BYTES')).toEqual([boardMemory.esp32s3!.all / 1024]);
  expect(kib('AIOT_CHIP_MEMORY_KIB')).toEqual(
    [boardMemory.esp32c3!.all, boardMemory.esp32!.all].map((n) => n / 1024),
  );
  // settings.h names the chips with more memory. The others share the C3's sizes.
  expect(text).toContain(
    '#if defined(CONFIG_IDF_TARGET_ESP32S3) || defined(CONFIG_IDF_TARGET_ESP32P4)\n#define AIOT_CHIP_MEM',
  );
  expect(boardMemory.esp32p4).toEqual(boardMemory.esp32s3);
  for (const chip of ['esp32c6', 'esp32h2']) expect(boardMemory[chip]).toEqual(boardMemory.esp32c3);
  // The smaller of two values applies to slow sensors, such as the guide's.
  const slow = (name: string) =>
    text.match(new RegExp(`${name} \\(\\(?AIOT_SOURCE_FAST \\? \\d+u : (\\d+)u`))?.[1];
  for (const [name, key] of [
    ['AIOT_CHIP_QUEUE_BYTES', 'queue'],
    ['AIOT_CHIP_MESSAGE_ROOM', 'message'],
  ] as const) {
    expect(kib(name)[0]).toBe(boardMemory.esp32s3![key] / 1024);
    for (const chip of ['esp32', 'esp32c3']) expect(Number(slow(name))).toBe(boardMemory[chip]![key] / 1024);
  }
  expect(kib('AIOT_CHIP_ENVELOPE_ROOM')).toEqual(
    [boardMemory.esp32s3!.envelope, boardMemory.esp32!.envelope].map((n) => n / 1024),
  );
  expect(Number(slow('AIOT_CHIP_BATCH_VALUES'))).toBe(boardMemory.esp32!.batchValues);
  expect(text).toContain(`#define AIOT_CHIP_BATCH_VALUES ${boardMemory.esp32s3!.batchValues}u`);
  expect(modelMemoryOf('esp32')).toBe(15_104);
  expect(modelMemoryOf('virtual')).toBeNull();
});

describe('the fit of firmware', () => {
  const device = (name: string, firmware: Reported['firmware']) => ({ name, reported: { firmware } });
  const devices = [
    device('old', { version: '1.0.0', release: null }),
    device('open', { version: '2.0.0', release: null, secureVersion: 0 }),
    device('locked', { version: '2.0.0', release: null, secureVersion: 3 }),
    device('model-only', { version: '2.0.0' }),
    { name: 'new', reported: null },
  ];

  it('names the devices that require a higher secure version', () => {
    const rollback =
      'motor@4 has the secure version 2, but 1 device requires a higher one: locked (at least 3)';
    expect(firmwareMisfits({ name: 'motor@4', secureVersion: 2 }, devices)).toMatchObject({ rollback });
    expect(firmwareMisfits({ name: 'motor@4', secureVersion: 3 }, devices).rollback).toBeNull();
  });

  it('warns about devices whose firmware does not report a secure version', () => {
    expect(firmwareMisfits({ name: 'motor@4', secureVersion: 3 }, devices).warnings).toEqual([
      'AIOT_MANIFEST_MALFORMED is likely on 1 device whose firmware does not support secure versions: deploy newer firmware with the secure version 0 first. Affected: old (1.0.0)',
    ]);
    expect(firmwareMisfits({ name: 'motor@4', secureVersion: 0 }, [devices[0]!]).warnings).toEqual([]);
  });
});
