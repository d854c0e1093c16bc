import { Flags } from '@oclif/core';
import { AiotError } from '../core/index.js';

/** `NAME=VALUE` as a header. */
export const header = Flags.custom<readonly [string, string]>({
  parse: async (text) => {
    const equals = text.indexOf('=');
    if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
    throw new AiotError('AIOT_USAGE', `--header: expected NAME=VALUE, got "${text}"`);
  },
  helpValue: 'NAME=VALUE',
});

/** How fast a recording goes: `original`, `max`, or a number of times. */
export const replaySpeed = Flags.custom<number>({
  parse: async (text) => {
    if (text === 'original') return 1;
    if (text === 'max') return Number.POSITIVE_INFINITY;
    const times = /^(\d+(?:\.\d+)?)x?$/.exec(text)?.[1];
    if (Number(times) > 0) return Number(times);
    throw new AiotError(
      'AIOT_USAGE',
      `--speed: expected original, max, or a number such as 2, got "${text}"`,
    );
  },
  helpValue: 'SPEED',
});
