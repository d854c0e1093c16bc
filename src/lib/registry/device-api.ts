import * as z from 'zod';
import { envelopeSchema } from '../formats/manifest/envelope.js';
import { chipIdSchema, deviceSchema, macSchema, name, provisionReplySchema, time } from './fields.js';

/** The bodies of what makes and changes devices' identities, /api/v1. The private key stays with the caller in each. */
const csr = z.string().max(8192);
/** Fingerprint of the certificate that the device was given last, null = none: where that is another by now, nothing is changed. */
const latest = z.string().nullable().optional();

/** POST /devices/{name}/certificate, by an operator or the device itself. `now`: the certificate before it ends at once, and not at the first use of the new one. */
export const certificateRequestSchema = z.strictObject({ csr, now: z.boolean().default(false), latest });

/** POST /devices/{name}/certificate/current: the certificate in use ends, and this one, the device's next, takes its place. */
export const settleRequestSchema = z.strictObject({ fingerprint: z.string().max(64) });

/** POST /devices/{name}/replace: another board takes the place of one that broke. */
export const replaceRequestSchema = z.strictObject({ csr, mac: macSchema.optional(), latest });

/** How long the token of a claim is good: a minute to 90 days. */
export const claimLifetimeMs = { min: 60_000, max: 90 * 86_400_000 };

/** POST /claims: a name is kept for a device that will ask for its certificate with the token. */
export const claimRequestSchema = z.strictObject({
  name,
  type: name,
  mac: macSchema.optional(),
  chipId: chipIdSchema.optional(),
  validMs: z.int().min(claimLifetimeMs.min).max(claimLifetimeMs.max).default(86_400_000),
});
export type ClaimRequest = z.input<typeof claimRequestSchema>;
export const claimSchema = z.object({
  device: deviceSchema,
  /** Good for one certificate; told once. */
  token: z.string(),
  expires: time,
});
export type Claim = z.output<typeof claimSchema>;

/** POST /claims/redeem, by whoever has the token. The same key again gets the same certificate: an answer may be lost. */
export const redeemRequestSchema = z.strictObject({
  token: z.string().max(200),
  csr,
  mac: macSchema.optional(),
});

/** POST /activation, by the device with its certificate. */
export const activationSchema = provisionReplySchema.omit({ certificate: true, ca: true });
export type Activation = z.output<typeof activationSchema>;

/** PUT and GET /devices/{name}/birth */
export const birthRequestSchema = z.strictObject({ envelope: envelopeSchema });
export const birthReplySchema = z.object({ envelope: envelopeSchema, stored: time });
export type StoredBirth = z.output<typeof birthReplySchema>;
