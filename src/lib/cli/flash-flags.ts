import { Flags } from '@oclif/core';
import type { AfterMode, BeforeMode, LoaderOptions } from '../flash/index.js';
import { type ChipName, chipNames } from '../formats/esp-image/index.js';

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
