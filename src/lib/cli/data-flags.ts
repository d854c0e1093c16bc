import { Args, Flags } from '@oclif/core';
import { AiotError } from '../core/index.js';

/** What names telemetry on the platform. */
export const streamArg = Args.string({ required: true, description: 'Name of the stream.' });

/** Of lists that may be long. */
export const pageFlags = {
  limit: Flags.integer({
    summary: 'List so many at most.',
    env: 'AIOT_LIMIT',
    default: 100,
    min: 1,
    max: 1000,
  }),
  after: Flags.string({
    summary: 'Go on behind this one: `next` of the page before.',
    env: 'AIOT_AFTER',
    helpValue: 'KEY',
  }),
};

/** A point of time as a flag: 2026-11-20, 2026-11-20T10:36:38Z, or milliseconds since 1970; the command gets the last. */
export const instant = Flags.custom<number>({
  helpValue: 'TIME',
  parse: async (text, _context, { name }) => {
    if (/^-?\d{1,16}$/.test(text)) return Number(text);
    const iso = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
    const ms = iso ? Date.parse(text) : Number.NaN;
    if (!Number.isNaN(ms)) return ms;
    throw new AiotError(
      'AIOT_USAGE',
      `--${name}: expected a time such as 2026-11-20T10:36:38Z, 2026-11-20, or ms since 1970, got "${text}"`,
    );
  },
});

const units: Record<string, number> = {
  ...{ B: 1, kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 },
  ...{ KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 },
};

/** A size as a flag: 500MB, 20GiB. */
export const sizeInBytes = Flags.custom<number>({
  helpValue: 'SIZE',
  parse: async (text, _context, { name }) => {
    const [, digits = '', unit = 'B'] = /^(\d+(?:\.\d+)?) ?(B|kB|[MGT]B|[KMGT]iB)?$/.exec(text) ?? [];
    const bytes = Math.round(Number(digits || 'x') * (units[unit] ?? 1));
    if (bytes > 0 && Number.isSafeInteger(bytes)) return bytes;
    throw new AiotError('AIOT_USAGE', `--${name}: expected a size such as 500MB or 20GiB, got "${text}"`);
  },
});
