import { z } from 'zod';

export const provisionedDeviceSchema = z.object({
  name: z.string(),
  id: z.string(),
  certificate: z.object({
    /** SHA-256 of the DER, 64 hex digits. */
    fingerprint: z.string(),
    /** ms since 1970 */
    expires: z.int(),
  }),
  /** What was written: an identity, or for a chip `nvs`, `partitions` (and `nvs-keys`, where NVS is encrypted). */
  files: z.array(z.string()),
  /** Of a chip: the network that its image has it join (`open`: without a password), null = none. */
  wifi: z.object({ ssid: z.string(), open: z.boolean() }).nullable().optional(),
  /** URL of the platform that it was given. */
  platform: z.string().optional(),
  /** Whether a signed birth certificate is in the registry. */
  birth: z.boolean().optional(),
});
export type ProvisionedDevice = z.output<typeof provisionedDeviceSchema>;
