import * as z from 'zod';
import type { Transport } from './transport.js';

/** A device's secret; `secret` is there when it was just made, and never again. */
export const deviceSecretSchema = z.object({
  device: z.string().describe('Also the MQTT user name.'),
  secret: z.string().nullable().describe('The MQTT password, over TLS only; null when it was taken away.'),
  removed: z.boolean().describe('Whether there was one that was taken away.'),
});
export type DeviceSecret = z.infer<typeof deviceSecretSchema>;

export function secretCalls(transport: Transport) {
  const path = (name: string) => `/devices/${encodeURIComponent(name)}/secret`;
  return {
    /** A new one in the place of the one before. @throws AIOT_NOT_FOUND, AIOT_DEVICE_STATE */
    make: (name: string): Promise<DeviceSecret> => transport.json('POST', path(name), deviceSecretSchema),
    remove: (name: string): Promise<DeviceSecret> => transport.json('DELETE', path(name), deviceSecretSchema),
  };
}
