import { Flags } from '@oclif/core';
import { z } from 'zod';
import { AiotError } from '../core/index.js';

const requestSchema = z.record(z.string(), z.unknown());

/** What a job is asked for: an object in JSON. */
export const jobRequest = Flags.custom<Record<string, unknown>>({
  parse: async (text) => {
    try {
      return requestSchema.parse(JSON.parse(text));
    } catch (cause) {
      throw new AiotError(
        'AIOT_USAGE',
        `--request: expected a JSON object such as '{"stream":"imu"}', got ${text}`,
        {
          cause,
        },
      );
    }
  },
});
