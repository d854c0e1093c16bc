import * as z from 'zod';
import { auditEntrySchema, liveSchema, modelVersionSchema } from './api.js';
import type { RegistryClient } from './client.js';

/** A version, its live metrics on devices, and its history, newest first. */
export const shownModelSchema = modelVersionSchema.extend({
  live: liveSchema,
  history: z.array(auditEntrySchema),
});

export type ShownModel = z.output<typeof shownModelSchema>;

/** @throws AIOT_NOT_FOUND */
export async function showModel(
  client: Pick<RegistryClient, 'models' | 'audit'>,
  { name, version }: { name: string; version: number },
): Promise<ShownModel> {
  const card = await client.models.get(name, version);
  const live = await client.models.live(name, version);
  return { ...card, live, history: await client.audit.list(`${name}@${version}`) };
}
