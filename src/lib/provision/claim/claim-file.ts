import { z } from 'zod';
import { AiotError, issueText, readJson, readText, writeFileAtomic } from '../../core/index.js';
import type { Claim, ClaimRequest, RegistryClient } from '../../registry/index.js';
import { requireNames } from '../enroll.js';

/** What a device needs to claim its certificate: carried to it by hand, good once. */
export const claimFileSchema = z.strictObject({
  spec: z.literal('aiot-claim/1'),
  name: z.string(),
  type: z.string(),
  /** https URL of the platform. */
  url: z.string(),
  /** PEM of the platform's CA; null = one that every machine knows. */
  ca: z.string().nullable(),
  token: z.string(),
  /** ms since 1970 */
  expires: z.int(),
});
export type ClaimFile = z.output<typeof claimFileSchema>;

export const madeClaimSchema = claimFileSchema.extend({
  id: z.string(),
  mac: z.string().nullable(),
  /** The guide's decimal chip id: firmware of the guide with it is confirmed from now on. */
  chipId: z.string().nullable(),
  /** Where it was written; null = it was printed alone. */
  file: z.string().nullable(),
});
export type MadeClaim = z.output<typeof madeClaimSchema>;

export interface ClaimOptions extends ClaimRequest {
  client: { url: string; claims: Pick<RegistryClient['claims'], 'make'> };
  /** PEM file of the platform's CA. */
  caFile: string | undefined;
  /** File for the claim, mode 0600. */
  out: string | undefined;
}

/** Registers a device and makes the token for its certificate. @throws AIOT_USAGE, AIOT_DEVICE_EXISTS, AIOT_FILE_NOT_WRITABLE */
export async function makeClaim({ client, caFile, out, ...request }: ClaimOptions): Promise<MadeClaim> {
  const { name, type } = request;
  requireNames({ name, type });
  const ca = caFile === undefined ? null : await readText(caFile);
  const made: Claim = await client.claims.make(request);
  const { id, mac, chipId } = made.device;
  const { token, expires } = made;
  const claim: ClaimFile = { spec: 'aiot-claim/1', name, type, url: client.url, ca, token, expires };
  if (out !== undefined) await writeFileAtomic(out, `${JSON.stringify(claim, null, 2)}\n`, 0o600);
  return { ...claim, id, mac, chipId, file: out ?? null };
}

/** @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED */
export async function readClaim(file: string): Promise<ClaimFile> {
  const parsed = claimFileSchema.safeParse(await readJson(file));
  if (parsed.success) return parsed.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(parsed.error, 'the file')}`, {
    next: 'aiot device claim NAME --type TYPE --out FILE makes one.',
  });
}
