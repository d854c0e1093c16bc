import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { createClient, type RegistryClient } from '../api/client.js';
import type { Claim, ClaimRequest } from '../api/contract/devices.js';
import { generateKeyPair } from '../core/crypto.js';
import { AiotError, hasCode, unless } from '../core/errors.js';
import { readJson, readText, writeFileAtomic } from '../core/files.js';
import { issueText } from '../core/issues.js';
import { describeCertificate } from './authority.js';
import { certificateRequest } from './certificates.js';
import { requireNames } from './enroll.js';
import { readIdentity } from './held-identity.js';
import { identityFiles, identityOf, openPlace } from './identity-folder.js';

/** Data that a device needs to claim its certificate. It is copied to the device by hand, and valid for one use. */
export const claimFileSchema = z.strictObject({
  spec: z.literal('aiot-claim/1'),
  name: z.string(),
  type: z.string(),
  /** https URL of the platform. */
  url: z.string(),
  /** PEM of the platform's CA; null = a publicly trusted one. */
  ca: z.string().nullable(),
  token: z.string(),
  /** ms since 1970 */
  expires: z.int(),
});

type ClaimFile = z.output<typeof claimFileSchema>;

export const madeClaimSchema = claimFileSchema.extend({
  id: z.string(),
  mac: z.string().nullable(),
  /** The guide's decimal chip id. From now on, the platform accepts the guide's firmware with this id. */
  chipId: z.string().nullable(),
  /** File that contains the claim; null = it was only printed. */
  file: z.string().nullable(),
});

export type MadeClaim = z.output<typeof madeClaimSchema>;

interface ClaimOptions extends ClaimRequest {
  client: { url: string; claims: Pick<RegistryClient['claims'], 'make'> };
  /** PEM file of the platform's CA. */
  caFile: string | undefined;
  /** Output file for the claim, mode 0600. */
  out: string | undefined;
}

/** Registers a device and creates the token for its certificate. @throws AIOT_USAGE, AIOT_ALREADY_EXISTS, AIOT_FILE_NOT_WRITABLE */
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
    next: 'Create one with `aiot device claim NAME --type TYPE --out FILE`.',
  });
}

export const activatedSchema = z.object({
  name: z.string(),
  id: z.string(),
  type: z.string(),
  /** Current state of the device on the platform. */
  state: z.string(),
  certificate: z.object({ fingerprint: z.string(), expires: z.int() }),
  /** Whether this call claimed the certificate; false if the folder already contained one. */
  claimed: z.boolean(),
  /** Paths of the files that were written. */
  files: z.array(z.string()),
});

type Activated = z.output<typeof activatedSchema>;

interface ActivateOptions {
  /** Folder with the identity. */
  dir: string;
  /** A claim file. It is needed only if the folder has no identity yet. */
  claim: string | undefined;
}

/**
 * Activates the device on which this program runs. If there is no certificate, it creates a key that never leaves the device and
 * claims a certificate for it. Then it reports to the platform that the device is present.
 * @throws AIOT_FILE_NOT_FOUND (neither identity nor claim), AIOT_ALREADY_EXISTS (both), AIOT_CLAIM_INVALID, AIOT_PLATFORM_UNREACHABLE,
 *   AIOT_CERTIFICATE_REFUSED
 */
export async function activateDevice({ dir, claim }: ActivateOptions): Promise<Activated> {
  const files = claim === undefined ? [] : await claimIdentity(dir, await readClaim(claim));
  if (!existsSync(join(dir, 'device.json'))) {
    throw new AiotError('AIOT_FILE_NOT_FOUND', `${dir} contains no device identity (device.json)`, {
      next: `As an operator, run \`aiot device claim NAME --out claim.json\`. Then run \`aiot device activate ${dir} --claim claim.json\` here.`,
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

/** Rewords an error about a token: a device has no token, so the problem is its certificate. */
function refused(dir: string) {
  return (cause: unknown): never => {
    if (!hasCode(cause, 'AIOT_TOKEN_INVALID')) throw cause;
    const reason = 'it is revoked, replaced, expired or unknown';
    throw new AiotError('AIOT_CERTIFICATE_REFUSED', `the certificate in ${dir} was rejected: ${reason}`, {
      cause,
    });
  };
}

/** File with the key of a pending claim. After a lost response, the retry needs this key, because the token is valid for one key only. */
const keyFile = 'claim.key';

async function claimIdentity(dir: string, claim: ClaimFile): Promise<string[]> {
  const { url, ca, token } = claim;
  if (existsSync(join(dir, 'device.json'))) {
    throw new AiotError('AIOT_ALREADY_EXISTS', `${dir} already has its certificate`, {
      subject: 'identity',
      next: `Run it without --claim: \`aiot device activate ${dir}\`.`,
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
      // The token will never be valid for this key, so the key is deleted.
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
