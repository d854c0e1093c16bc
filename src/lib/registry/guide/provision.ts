import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { checkChipId, checkMac, chipIdOf } from '../fields.js';
import type { GuideClient } from './client.js';

/** A device that an installation of the guide knows now. */
export const guideProvisionedSchema = z.object({
  kind: z.literal('architects-guide'),
  /** The decimal id by which its firmware calls itself. */
  chipId: z.string(),
  /** Where it was provisioned. */
  url: z.string(),
  /** What the installation answers the firmware: whether it may begin. */
  confirmed: z.boolean(),
});
export type GuideProvisioned = z.output<typeof guideProvisionedSchema>;

/**
 * Has an installation of the guide know a board, and asks it as the board will. @throws AIOT_USAGE without a chip id or
 * MAC, and what the client throws
 */
export async function provisionAtGuide(
  client: GuideClient,
  { mac, chipId }: { mac?: string | undefined; chipId?: string | undefined },
): Promise<GuideProvisioned> {
  const id =
    chipId === undefined ? (mac === undefined ? undefined : chipIdOf(checkMac(mac))) : checkChipId(chipId);
  if (id === undefined) {
    throw new AiotError('AIOT_USAGE', 'an installation of the guide knows boards by their chip ids alone', {
      next: 'Give it: --chip-id ID, or --mac MAC.',
    });
  }
  const { url } = await client.provision(id);
  return { kind: 'architects-guide', chipId: id, url, confirmed: await client.confirmed(id) };
}
