import { Flags } from '@oclif/core';
import { AiotError } from '../core/index.js';
import type { SimulateChipOptions } from '../flash/rom/simulate.js';
import { type SimulatedChipName, simulatedChipNames } from '../flash/rom/identity.js';
import { startFaultNames } from '../flash/rom/control.js';

const boots = ['download', 'uart', 'run'] as const;

// Not dependsOn: the usage line would then show each as if it alone needed --serial.
const onlyWithSerial = [{ type: 'all' as const, flags: ['serial'] }];

/** Flags of a simulated chip on a serial port. */
export const chipFlags = {
  serial: Flags.boolean({
    summary: 'A bare chip on a serial port instead: ROM, flash, boot text, faults. Takes no DIR.',
    env: 'AIOT_SERIAL',
    exclusive: ['recording', 'motor', 'predict', 'loop', 'stream', 'rate'],
  }),
  chip: Flags.option({ options: simulatedChipNames })({
    summary: 'Chip on that port [default: esp32].',
    env: 'AIOT_CHIP',
    relationships: onlyWithSerial,
  }),
  listen: Flags.string({
    summary: 'Where that port is: pty (by socat), socket://HOST:PORT, rfc2217://HOST:PORT [default: pty].',
    env: 'AIOT_LISTEN',
    helpValue: 'WHERE',
    relationships: onlyWithSerial,
  }),
  flash: Flags.string({
    summary: 'File that keeps its flash: read at the start, written at the end.',
    env: 'AIOT_FLASH',
    helpValue: 'FILE',
    relationships: onlyWithSerial,
  }),
  mac: Flags.string({
    summary: 'Its address [default: 24:0a:c4:00:01:10].',
    env: 'AIOT_MAC',
    helpValue: 'MAC',
    relationships: onlyWithSerial,
  }),
  boot: Flags.option({ options: boots })({
    summary: 'Boot pins at power-on: download until DTR or RTS are used, or run [default: download].',
    env: 'AIOT_BOOT',
    relationships: onlyWithSerial,
  }),
  fault: Flags.string({
    summary: `What is wrong; more than once for more. One of ${startFaultNames.join(', ')}; with numbers: "noise rate=0.001", "unplugged after=40".`,
    multiple: true,
    env: 'AIOT_FAULT',
    helpValue: 'FAULT',
    relationships: onlyWithSerial,
  }),
  control: Flags.integer({
    summary:
      'TCP port of a control channel (reset, boot, lines, fault, clear, plug, state); 0 = any free one.',
    min: 0,
    max: 65_535,
    env: 'AIOT_CONTROL',
    helpValue: 'PORT',
    relationships: onlyWithSerial,
  }),
};

interface Given {
  chip?: SimulatedChipName;
  listen?: string;
  flash?: string;
  mac?: string;
  boot?: (typeof boots)[number];
  fault?: string[];
  control?: number;
  for?: number;
}

/** The same as the library takes it. @throws AIOT_USAGE where a DIR is given too */
export function simulatedChip(
  dir: string | undefined,
  flags: Given,
): Omit<SimulateChipOptions, 'signal' | 'onEvent'> {
  if (dir !== undefined)
    throw new AiotError('AIOT_USAGE', `a bare chip has no identity: leave ${dir} out, or --serial`);
  const { chip = 'esp32', listen = 'pty', boot = 'download', fault: faults = [] } = flags;
  const { flash: flashFile, mac, control, for: forMs } = flags;
  return { chip, listen, boot, faults, flashFile, mac, control, forMs };
}

/** The DIR of a virtual device. @throws AIOT_USAGE without one */
export function requireDir(dir: string | undefined): string {
  if (dir !== undefined) return dir;
  throw new AiotError(
    'AIOT_USAGE',
    'missing DIR: the folder of the identity, as aiot device provision makes it',
    {
      next: 'Name it, or take --serial for a bare chip.',
    },
  );
}
