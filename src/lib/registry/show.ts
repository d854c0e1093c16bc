import type { z } from 'zod';
import { liveSchema, modelVersionSchema } from './api.js';
import type { RegistryClient } from './client.js';

/** A version, and how it does on the devices that run it. */
export const shownModelSchema = modelVersionSchema.extend({ live: liveSchema });

/** @throws AIOT_NOT_FOUND */
export async function showModel(
  client: Pick<RegistryClient, 'models'>,
  { name, version }: { name: string; version: number },
): Promise<z.output<typeof shownModelSchema>> {
  const card = await client.models.get(name, version);
  return { ...card, live: await client.models.live(name, version) };
}
