import { Flags } from '@oclif/core';
import { AiotError } from '../core/index.js';
import { offsetOf } from '../flash/plan/place.js';
import { chipNames, flashFrequencies, flashModes, flashSizes } from '../formats/index.js';

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
