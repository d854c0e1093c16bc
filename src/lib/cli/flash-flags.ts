import { Flags } from '@oclif/core';
import type { AfterMode, BeforeMode, LoaderOptions } from '../flash/index.js';
import {
  type ChipName,
  chipNames,
  flashFrequencies,
  flashModes,
  flashSizes,
} from '../formats/esp-image/chips.js';

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

interface Given {
  chip: LoaderOptions['chip'];
  baud: number;
  'no-stub': boolean;
  before: LoaderOptions['before'];
  after: LoaderOptions['after'];
}

/** The same as the library takes it. */
export function loaderOptions(
  { chip, baud, before, after, ...flags }: Given,
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
