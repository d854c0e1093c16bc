import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { generateKeyPair } from '../core/crypto.js';
import { AiotError, hasCode, unless } from '../core/errors.js';
import { readJson, readText, writeFileAtomic } from '../core/files.js';
import { issueText } from '../core/issues.js';
import { createClient, type RegistryClient } from '../registry/client.js';
import type { Claim, ClaimRequest } from '../registry/device-api.js';
import { describeCertificate } from './authority.js';
import { certificateRequest } from './certificates.js';
import { requireNames } from './enroll.js';
import { readIdentity } from './held-identity.js';
import { identityFiles, identityOf, openPlace } from './identity-folder.js';

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

type ClaimFile = z.output<typeof claimFileSchema>;

export const madeClaimSchema = claimFileSchema.extend({
  id: z.string(),
  mac: z.string().nullable(),
  /** The guide's decimal chip id: firmware of the guide with it is confirmed from now on. */
  chipId: z.string().nullable(),
  /** Where it was written; null = it was printed alone. */
  file: z.string().nullable(),
});

export type MadeClaim = z.output<typeof madeClaimSchema>;

interface ClaimOptions extends ClaimRequest {
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
async function readClaim(file: string): Promise<ClaimFile> {
  const parsed = claimFileSchema.safeParse(await readJson(file));
  if (parsed.success) return parsed.data;
  throw new AiotError('AIOT_FILE_MALFORMED', `${file}: ${issueText(parsed.error, 'the file')}`, {
    next: 'aiot device claim NAME --type TYPE --out FILE makes one.',
  });
}

export const activatedSchema = z.object({
  name: z.string(),
  id: z.string(),
  type: z.string(),
  /** As the platform has it now. */
  state: z.string(),
  certificate: z.object({ fingerprint: z.string(), expires: z.int() }),
  /** Whether its certificate was claimed now. */
  claimed: z.boolean(),
  /** What was written. */
  files: z.array(z.string()),
});

type Activated = z.output<typeof activatedSchema>;

interface ActivateOptions {
  /** Folder of the identity. */
  dir: string;
  /** A claim file, where the folder has no identity yet. */
  claim: string | undefined;
}

/**
 * On the device: claims its certificate if it has none, for a key that is made here and stays here, and tells the platform
 * that it is there.
 * @throws AIOT_FILE_NOT_FOUND (neither identity nor claim), AIOT_IDENTITY_EXISTS (both), AIOT_CLAIM_INVALID,
 * AIOT_PLATFORM_UNREACHABLE, AIOT_CERTIFICATE_REFUSED
 */
export async function activateDevice({ dir, claim }: ActivateOptions): Promise<Activated> {
  const files = claim === undefined ? [] : await claimIdentity(dir, await readClaim(claim));
  if (!existsSync(join(dir, 'device.json'))) {
    throw new AiotError('AIOT_FILE_NOT_FOUND', `${dir} holds no identity of a device (device.json)`, {
      next: `Make a claim where the operator is (aiot device claim NAME --out claim.json), and here: aiot device activate ${dir} --claim claim.json`,
    });
  }
  const { urls, ca, key, certificate: cert } = await readIdentity(dir);
  const client = createClient({ url: urls.http, ca, cert, key });
  try {
    const { device } = await client.devices.activate().catch(refused(dir));
    const { name, id, type, state } = device;
    const certificate = describeCertificate(cert);
    return { name, id, type, state, certificate, claimed: claim !== undefined, files };
  } finally {
    await client.close();
  }
}

/** A device has no token: what is refused is its certificate. */
function refused(dir: string) {
  return (cause: unknown): never => {
    if (!hasCode(cause, 'AIOT_TOKEN_INVALID')) throw cause;
    const reason = 'it is revoked, was replaced by another, has expired, or is unknown';
    throw new AiotError('AIOT_CERTIFICATE_REFUSED', `the certificate in ${dir} is not taken: ${reason}`, {
      cause,
    });
  };
}

/** The key of a claim that is under way: an answer may be lost, and the token is good for one key alone. */
const keyFile = 'claim.key';

async function claimIdentity(dir: string, claim: ClaimFile): Promise<string[]> {
  const { url, ca, token } = claim;
  if (existsSync(join(dir, 'device.json'))) {
    throw new AiotError('AIOT_IDENTITY_EXISTS', `${dir} has its certificate already`, {
      next: `Leave --claim out: aiot device activate ${dir}`,
    });
  }
  const place = await openPlace(dir, identityFiles);
  const client = createClient({ url, ...(ca === null ? {} : { ca }) });
  try {
    const pending = join(dir, keyFile);
    const before = await unless('AIOT_FILE_NOT_FOUND', readText(pending));
    const key = before ?? generateKeyPair().privatePem;
    if (before === undefined) await writeFileAtomic(pending, key, 0o600);
    const request = await certificateRequest(key, claim.name);
    const reply = await client.claims.redeem(token, request).catch(async (error: unknown) => {
      // A key that the token is not good for never will be asked for again.
      if (hasCode(error, 'AIOT_CLAIM_INVALID')) await rm(pending, { force: true });
      throw error;
    });
    const files = await place.put(identityOf(key, reply));
    await rm(pending, { force: true });
    return files;
  } finally {
    await client.close();
    await place.leave();
  }
}
