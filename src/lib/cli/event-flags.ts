import { Flags } from '@oclif/core';
import { AiotError } from '../core/index.js';
import { eventTypeSchema } from '../registry/index.js';

/** A place in the events: an id, or `now`. */
export const eventFrom = Flags.custom<number | 'now'>({
  parse: async (text) => {
    if (text === 'now') return text;
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw new AiotError('AIOT_USAGE', `--from: expected the id of an event, 0 or now, got ${text}`);
  },
});

/** Types of events, comma-separated: `device.connect`, `device.*`, `*`. */
export const eventTypes = Flags.custom<string[]>({
  parse: async (text) => {
    const types = text.split(',').map((type) => type.trim());
    const wrong = types.find((type) => !eventTypeSchema.safeParse(type).success);
    if (wrong === undefined) return types;
    throw new AiotError(
      'AIOT_USAGE',
      `--type: expected a type such as device.connect or device.*, got "${wrong}"`,
    );
  },
});
