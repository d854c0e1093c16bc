import * as z from 'zod';
import { auditEntrySchema, liveSchema, modelVersionSchema } from './api.js';
import type { RegistryClient } from './client.js';

/** A version, how it does on the devices that run it, and what was done with it, newest first. */
export const shownModelSchema = modelVersionSchema.extend({
  live: liveSchema,
  history: z.array(auditEntrySchema),
});

/** @throws AIOT_NOT_FOUND */
export async function showModel(
  client: Pick<RegistryClient, 'models' | 'audit'>,
  { name, version }: { name: string; version: number },
): Promise<z.output<typeof shownModelSchema>> {
  const card = await client.models.get(name, version);
  const live = await client.models.live(name, version);
  return { ...card, live, history: await client.audit.list(`${name}@${version}`) };
}
