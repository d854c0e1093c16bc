import { Flags } from '@oclif/core';
import { AiotError } from '../core/index.js';

/** A number of at least 0 as a flag, such as `0.5`. Words, and what JavaScript would also take for a number, are refused. */
export const decimal = Flags.custom<number>({
  parse: async (text, _context, { name }) => {
    if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
    throw new AiotError('AIOT_USAGE', `--${name}: expected a number such as 0.5, got "${text}"`);
  },
  helpValue: 'NUMBER',
});
