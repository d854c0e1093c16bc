import * as z from 'zod';
import { name } from './fields.js';
import { tagName, tagValue } from './fleet-api.js';

/** How many one request makes. */
export const mostSimulated = 1000;

/**
 * PUT /devices/simulated: devices that are no hardware, each with a secret of its own, in the place of the one before. `digest` is the
 * SHA-256 of the secret in hex: of 256 random bits that is enough, and ten thousand of them are looked at in a moment.
 */
export const simulatedRequestSchema = z.strictObject({
  type: name,
  tags: z.record(tagName, tagValue).default({}),
  devices: z
    .array(z.strictObject({ name, digest: z.string().regex(/^[0-9a-f]{64}$/) }))
    .min(1)
    .max(mostSimulated)
    .superRefine((devices, context) => {
      const seen = new Set<string>();
      devices.forEach(({ name }, index) => {
        if (seen.has(name))
          context.addIssue({ code: 'custom', path: [index, 'name'], message: `${name} is listed twice` });
        seen.add(name);
      });
    }),
});
export type SimulatedRequest = z.input<typeof simulatedRequestSchema>;
export const simulatedReplySchema = z.object({ made: z.int(), kept: z.int() });
export type SimulatedReply = z.output<typeof simulatedReplySchema>;

/** The tag of devices that are no hardware: only these are ever taken over by a simulation. */
export const simulatedTag = 'simulated';
