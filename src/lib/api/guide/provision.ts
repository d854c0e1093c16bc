import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { checkChipId, checkMac, chipIdOf } from '../fields.js';
import type { GuideClient } from './client.js';

/** A device registered with an installation of the guide. */
export const guideProvisionedSchema = z.object({
  kind: z.literal('architects-guide'),
  /** The decimal id that the board's firmware uses. */
  chipId: z.string(),
  /** Address of the installation. */
  url: z.string(),
  /** The installation's response to the board's firmware: whether it may start working. */
  confirmed: z.boolean(),
});
export type GuideProvisioned = z.output<typeof guideProvisionedSchema>;

/**
 * Registers a board with an installation of the guide, and then checks with the same query that the board
 * will send.
 * @throws AIOT_USAGE without a chip id or MAC, and errors of the client
 */
export async function provisionAtGuide(
  client: GuideClient,
  { mac, chipId }: { mac?: string | undefined; chipId?: string | undefined },
): Promise<GuideProvisioned> {
  const id =
    chipId === undefined ? (mac === undefined ? undefined : chipIdOf(checkMac(mac))) : checkChipId(chipId);
  if (id === undefined) {
    throw new AiotError(
      'AIOT_USAGE',
      'an installation of the guide identifies boards only by their chip ids',
      {
        next: 'Specify --chip-id ID or --mac MAC.',
      },
    );
  }
  const { url } = await client.provision(id);
  return { kind: 'architects-guide', chipId: id, url, confirmed: await client.confirmed(id) };
}
