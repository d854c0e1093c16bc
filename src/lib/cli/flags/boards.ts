import { Flags } from '@oclif/core';
import { AiotError } from '../../core/errors.js';
import type { AfterMode, BeforeMode, LoaderOptions, LoaderProgress } from '../../flash/loader/types.js';
import { offsetOf } from '../../flash/plan/place.js';
import {
  type ChipName,
  chipNames,
  flashFrequencies,
  flashModes,
  flashSizeBytes,
  flashSizes,
} from '../../formats/esp-image/chips.js';
import type { ImageRequest } from '../../provision/chip-options.js';
import type { Progress, ProgressState } from '../live/progress.js';
import { decimal } from './shared.js';

const chips: readonly (ChipName | 'auto')[] = ['auto', ...chipNames];
const beforeModes: readonly BeforeMode[] = ['default-reset', 'usb-reset', 'no-reset', 'no-reset-no-sync'];

const afterModes: readonly AfterMode[] = [
  'hard-reset',
  'soft-reset',
  'watchdog-reset',
  'no-reset',
  'no-reset-stub',
];

/** Flags of commands that speak to a chip's loader. */
export const flashFlags = {
  chip: Flags.option({ options: chips, default: 'auto' as const })({
    summary: 'Chip that is expected; another one is refused.',
    env: 'AIOT_CHIP',
    helpValue: 'CHIP',
  }),
  baud: Flags.integer({
    summary: 'Bits per second once connected; lowered by itself where the cable does not do it.',
    min: 50,
    default: 921_600,
    env: 'AIOT_BAUD',
    helpValue: 'BAUD',
  }),
  'no-stub': Flags.boolean({
    summary: 'Speak to the chip’s ROM alone: slower, and no program of ours runs on it.',
    env: 'AIOT_NO_STUB',
    default: false,
  }),
  before: Flags.option({ options: beforeModes, default: 'default-reset' as const })({
    summary: 'How the chip is brought into its loader.',
    env: 'AIOT_BEFORE',
    helpValue: 'MODE',
  }),
  after: Flags.option({ options: afterModes, default: 'hard-reset' as const })({
    summary: 'How it is left.',
    env: 'AIOT_AFTER',
    helpValue: 'MODE',
  }),
};

interface LoaderGiven {
  chip: LoaderOptions['chip'];
  baud: number;
  'no-stub': boolean;
  before: LoaderOptions['before'];
  after: LoaderOptions['after'];
}

/** The same as the library takes it. */
export function loaderOptions(
  { chip, baud, before, after, ...flags }: LoaderGiven,
  signal: AbortSignal,
): LoaderOptions {
  return { chip, baud, stub: !flags['no-stub'], before, after, signal };
}

/** Flags of writing. */
export const writeFlags = {
  device: Flags.string({
    summary: 'Folder of a device’s identity (aiot device provision); for many boards, a folder of such.',
    env: 'AIOT_DEVICE',
    helpValue: 'DIR',
  }),
  all: Flags.boolean({ summary: 'Every board that is plugged in here.', env: 'AIOT_ALL', default: false }),
  jobs: Flags.integer({
    summary: 'Boards at a time.',
    env: 'AIOT_JOBS',
    min: 1,
    max: 256,
    default: 8,
    helpValue: 'N',
  }),
  retries: Flags.integer({
    summary: 'Further attempts where the cable failed [default: 0, of many boards 2].',
    env: 'AIOT_RETRIES',
    min: 0,
    max: 20,
    helpValue: 'N',
  }),
  record: Flags.string({
    summary: 'Production record to begin or go on with, .csv or .json: a line a board.',
    env: 'AIOT_RECORD',
    helpValue: 'FILE',
  }),
  erase: Flags.boolean({ summary: 'Erase the whole flash first.', env: 'AIOT_ERASE', default: false }),
  verify: Flags.boolean({
    summary: 'Compare all regions once more, when the last is written.',
    env: 'AIOT_VERIFY',
    default: false,
  }),
  'diff-with': Flags.string({
    summary: 'What the board holds: only 4 KiB sectors that differ from it are written. May be repeated.',
    env: 'AIOT_DIFF_WITH',
    helpValue: 'OLD[@OFFSET]',
    multiple: true,
    multipleNonGreedy: true,
    delimiter: ',',
  }),
  'flash-mode': Flags.option({ options: ['keep', ...flashModes] as const })({
    summary: 'Change the bootloader’s header: how the flash is wired.',
    env: 'AIOT_FLASH_MODE',
  }),
  'flash-size': Flags.option({ options: ['keep', 'detect', ...flashSizes] as const })({
    summary: 'The same: its size.',
    env: 'AIOT_FLASH_SIZE',
  }),
  'flash-freq': Flags.option({ options: ['keep', ...flashFrequencies] as const })({
    summary: 'The same: its clock; which ones there are depends on the chip.',
    env: 'AIOT_FLASH_FREQ',
  }),
  slot: Flags.string({
    summary:
      'Update over the cable: the app slot to write and to start, `next` or a label; without --firmware, a label’s own app is started.',
    env: 'AIOT_SLOT',
    helpValue: 'SLOT',
  }),
  firmware: Flags.string({
    summary: 'What goes into it: an app’s image, or a version of the platform’s registry.',
    env: 'AIOT_FIRMWARE',
    helpValue: 'FILE|NAME@V',
  }),
  model: Flags.string({
    summary: 'The same with the model slot: a signed bundle.',
    env: 'AIOT_MODEL',
    helpValue: 'FILE|NAME@V',
  }),
  watch: Flags.boolean({
    summary: 'Watch the restarted board, and set it back when it is not well.',
    env: 'AIOT_WATCH',
    default: false,
  }),
  healthy: Flags.string({
    summary: 'What a board that is well says, a regular expression; without it, any start without a fault.',
    env: 'AIOT_HEALTHY',
    helpValue: 'PATTERN',
    dependsOn: ['watch'],
  }),
  force: Flags.boolean({
    summary: 'Write what would be refused, and say what was overridden.',
    env: 'AIOT_FORCE',
    default: false,
  }),
};

/** What the flags say of the loader, with its progress as the command's one progress line. */
export function boardLoader(
  flags: Parameters<typeof loaderOptions>[0],
  signal: AbortSignal,
  progress: Progress,
): LoaderOptions {
  return { ...loaderOptions(flags, signal), progress: (state) => progress.update(shown(state)) };
}

function shown({ stage, region, done, total, note }: LoaderProgress): ProgressState {
  const text = [region === null ? stage : `${stage} ${region}`, note].filter(Boolean).join(', ');
  const moves = stage === 'read' || stage === 'write';
  return moves && total > 0 ? { text, done, total } : { text };
}

/** The port of a board that is meant, where a folder may be meant as well: none is chosen by itself. */
export const ownPort = Flags.string({
  summary: 'Serial port of its board: /dev/ttyUSB0, COM3, socket://HOST:PORT, rfc2217://HOST:PORT.',
  env: 'AIOT_PORT',
  helpValue: 'PORT',
});

/** Flags of commands that make the image of a device on a chip. */
export const imageFlags = {
  'wifi-ssid': Flags.string({
    summary: 'Name of the Wi-Fi network that the device joins.',
    env: 'AIOT_WIFI_SSID',
    helpValue: 'NAME',
  }),
  'wifi-password-file': Flags.string({
    summary: 'File with its password [default: the variable AIOT_WIFI_PASSWORD].',
    env: 'AIOT_WIFI_PASSWORD_FILE',
    helpValue: 'FILE',
  }),
  partitions: Flags.string({
    summary: 'Partition table, CSV [default: the board’s own, else that of docs/nvs.md].',
    env: 'AIOT_PARTITIONS',
    helpValue: 'FILE',
  }),
  'nvs-version': Flags.option({ options: ['1', '2'] as const, default: '2' as const })({
    summary: 'Format of the NVS pages; 1 for firmware before ESP-IDF 3.2.',
    env: 'AIOT_NVS_VERSION',
  }),
  'encrypt-nvs': Flags.boolean({
    summary: 'Encrypt NVS with keys made here, in a partition of their own.',
    env: 'AIOT_ENCRYPT_NVS',
  }),
  'flash-size': Flags.option({ options: flashSizes })({
    summary: 'Size of the flash [default: the board’s, else 4MB].',
    env: 'AIOT_FLASH_SIZE',
  }),
};

interface ImageGiven {
  'wifi-ssid': string | undefined;
  'wifi-password-file': string | undefined;
  partitions: string | undefined;
  'nvs-version': '1' | '2';
  'encrypt-nvs': boolean;
  'flash-size': (typeof flashSizes)[number] | undefined;
}

/** The same as the library takes it. The password may be in the environment, never on the command line. */
export function imageAsked(flags: ImageGiven): ImageRequest {
  const size = flags['flash-size'];
  return {
    ssid: flags['wifi-ssid'],
    passwordFile: flags['wifi-password-file'],
    password: process.env.AIOT_WIFI_PASSWORD,
    partitions: flags.partitions,
    nvsVersion: flags['nvs-version'] === '1' ? 1 : 2,
    encrypt: flags['encrypt-nvs'],
    ...(size === undefined ? {} : { flashBytes: flashSizeBytes(size) }),
  };
}

/** A place in flash as a flag: `0x10000`, `65536`, `64K`; the command gets bytes. */
export const flashOffset = Flags.custom<number>({
  parse: async (text, _context, { name }) => {
    const offset = offsetOf(text);
    if (offset !== null) return offset;
    throw new AiotError(
      'AIOT_USAGE',
      `--${name}: expected a number such as 0x10000, 65536 or 64K, got "${text}"`,
    );
  },
  helpValue: 'OFFSET',
});

/** A chip's revision as a flag, such as `1.3`; the command gets major · 100 + minor, as images have it. */
export const revision = Flags.custom<number>({
  parse: async (text, _context, { name }) => {
    const [, major, minor] = /^(\d{1,3})\.(\d{1,2})$/.exec(text) ?? [];
    const value = Number(major) * 100 + Number(minor);
    if (major !== undefined && value <= 0xffff) return value;
    throw new AiotError('AIOT_USAGE', `--${name}: expected a revision such as 1.3, got "${text}"`);
  },
  helpValue: 'MAJOR.MINOR',
});

/** Flags of commands that make or change images. */
export const firmwareFlags = {
  chip: Flags.option({ options: chipNames })({ summary: 'The chip that it is for.', env: 'AIOT_CHIP' }),
  'flash-mode': Flags.option({ options: flashModes })({
    summary: 'How the flash is wired: number of data lines, also for addresses or not.',
    env: 'AIOT_FLASH_MODE',
  }),
  'flash-size': Flags.option({ options: flashSizes })({
    summary: 'Size of the flash.',
    env: 'AIOT_FLASH_SIZE',
  }),
  'flash-freq': Flags.option({ options: flashFrequencies })({
    summary: 'Clock of the flash; which ones there are depends on the chip.',
    env: 'AIOT_FLASH_FREQ',
  }),
};

/** A current such as `30A` or `2.5A`; the command gets A. */
const current = Flags.custom<number>({
  parse: async (text, _context, { name }) => {
    const [, number] = /^(\d+(?:\.\d+)?) ?A$/.exec(text) ?? [];
    if (number !== undefined) return Number(number);
    throw new AiotError('AIOT_USAGE', `--${name}: expected a current such as 30A, got "${text}"`);
  },
  helpValue: 'AMPERES',
});

/** Two voltages such as `0.15-2.45`. */
const volts = Flags.custom<{ low: number; high: number }>({
  parse: async (text, _context, { name }) => {
    const [, low, high] = /^(\d+(?:\.\d+)?) ?- ?(\d+(?:\.\d+)?) ?V?$/.exec(text) ?? [];
    if (low !== undefined && high !== undefined) return { low: Number(low), high: Number(high) };
    throw new AiotError('AIOT_USAGE', `--${name}: expected two voltages such as 0.15-2.45, got "${text}"`);
  },
  helpValue: 'LOW-HIGH',
});

/** Flags of `firmware burden`. */
export const burdenFlags = {
  clamp: Flags.string({
    summary: 'What stands on the clamp: its greatest current, and what it gives then.',
    default: '100A:50mA',
    env: 'AIOT_CLAMP',
    helpValue: 'AMPERES:MILLIAMPERES',
  }),
  turns: decimal({
    summary: 'Turns of its secondary, where somebody reckons with others [default: what its currents say].',
    env: 'AIOT_TURNS',
    helpValue: 'COUNT',
  }),
  nominal: current({
    summary: 'Greatest current that you want to measure [default: the clamp’s].',
    env: 'AIOT_NOMINAL',
  }),
  volts: decimal({
    summary: 'Supply of the bias and volts of the converter’s highest count.',
    default: 3.3,
    env: 'AIOT_VOLTS',
    helpValue: 'VOLTS',
  }),
  range: volts({
    summary: 'Part of it that the converter is true in; an ESP32’s is 0.15-2.45 [default: all of it].',
    env: 'AIOT_RANGE',
  }),
  'adc-bits': Flags.integer({
    summary: 'Bits of the converter.',
    default: 12,
    env: 'AIOT_ADC_BITS',
    helpValue: 'BITS',
  }),
};
