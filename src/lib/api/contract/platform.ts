import * as z from 'zod';
import { statusSchema } from '../api.js';
import { acknowledgedSchema, acknowledgeRequestSchema, damagesSchema } from '../damage.js';
import { pageQuerySchema } from '../page.js';
import { endpoint } from './endpoint.js';

export const status = {
  get: endpoint('GET /status', { reach: 'filtered', summary: 'State of the platform', result: statusSchema }),
};

export const damage = {
  list: endpoint('GET /damage', {
    summary: 'Unrepaired damage to stored data',
    query: pageQuerySchema,
    result: damagesSchema,
    list: 'damage',
  }),
  /** Acknowledges all damage, or only the entries with these ids. */
  acknowledge: endpoint('POST /damage/acknowledge', {
    summary: 'Acknowledge damage, so that the status no longer warns about it',
    body: acknowledgeRequestSchema,
    takes: ['ids'],
    result: acknowledgedSchema,
  }),
};

/** Minimum length of a backup's passphrase, characters. */
export const shortestPassphrase = 12;

export const backups = {
  /** Streams the platform's backup: a tar archive whose last entry marks it as complete. */
  create: endpoint('POST /backups', {
    summary: 'Create a backup and return it as one tar file',
    description:
      "The backup is streamed while the platform keeps running. The CA's key, tokens and secrets are encrypted with the passphrase, which is not stored.",
    body: z.strictObject({
      passphrase: z
        .string()
        .min(shortestPassphrase, `expected at least ${shortestPassphrase} characters`)
        .max(1000),
    }),
  }),
};
