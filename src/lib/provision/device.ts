import { existsSync } from 'node:fs';
import { link, mkdir, mkdtemp, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import {
  AiotError,
  generateKeyPair,
  namePattern,
  syncFolder,
  systemCode,
  writeFileAtomic,
} from '../core/index.js';
import type { ProvisionReply, RegistryClient } from '../registry/index.js';
import { describeCertificate } from './authority.js';
import { certificateRequest } from './request.js';

export const provisionedDeviceSchema = z.object({
  name: z.string(),
  id: z.string(),
  certificate: z.object({
    /** SHA-256 of the DER, 64 hex digits. */
    fingerprint: z.string(),
    /** ms since 1970 */
    expires: z.int(),
  }),
  files: z.array(z.string()),
});
export type ProvisionedDevice = z.output<typeof provisionedDeviceSchema>;

/** device.json: what a device needs to know about itself and its platform. */
export const identitySchema = z.object({
  name: z.string(),
  id: z.string(),
  type: z.string(),
  urls: z.object({ http: z.string(), mqtts: z.string() }),
});
export type Identity = z.output<typeof identitySchema>;

/** device.json is the last to be moved in: an identity is whole when it is there. */
const identityFiles = ['device.key', 'device.crt', 'ca.crt', 'trust.json', 'device.json'] as const;

export interface ProvisionOptions {
  client: Pick<RegistryClient, 'devices' | 'trust'>;
  name: string;
  /** Such as `virtual`: models are released for types. */
  type: string;
  /** Folder of the identity; made when missing. */
  out: string;
}

/**
 * Registers a device and writes its identity into `out`: key (0600, made here, never sent), certificate, CA, trust root
 * and device.json. Where it fails, `out` is as it was and the registration is taken back.
 * @throws AIOT_IDENTITY_EXISTS, AIOT_DEVICE_EXISTS, AIOT_TRUST_MISSING, AIOT_FILE_NOT_WRITABLE
 */
export async function provisionDevice(options: ProvisionOptions): Promise<ProvisionedDevice> {
  const { client, name, type, out } = options;
  for (const [what, value] of Object.entries({ name, type })) {
    if (namePattern.test(value)) continue;
    const rule = 'letters, digits, dot, dash or underscore, at most 64';
    throw new AiotError('AIOT_USAGE', `expected the device's ${what} to be ${rule}, got "${value}"`);
  }
  const taken = identityFiles.find((file) => existsSync(join(out, file)));
  if (taken) throw new AiotError('AIOT_IDENTITY_EXISTS', `${join(out, taken)} is there already`);
  if ((await client.trust.get()) === null) {
    throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
  }
  const { stage, made } = await stageFolder(out);
  let whole = false;
  try {
    const key = generateKeyPair().privatePem;
    await writeFileAtomic(join(stage, 'device.key'), key, 0o600);
    const reply = await client.devices.provision(name, type, await certificateRequest(key, name));
    await keep(stage, out, reply).catch(async (error: unknown) => {
      await client.devices.act(name, 'revoke').catch(() => {});
      throw error;
    });
    whole = true;
    return {
      name,
      id: reply.device.id,
      certificate: describeCertificate(reply.certificate),
      files: identityFiles.map((file) => join(out, file)),
    };
  } finally {
    await rm(stage, { recursive: true, force: true });
    if (!whole && made !== undefined) await removeEmpty(out, made);
  }
}

/** Folders that were made in vain, up to the topmost. Another identity may have been written into one meanwhile. */
async function removeEmpty(folder: string, topmost: string): Promise<void> {
  try {
    for (let path = resolve(folder); path.startsWith(resolve(topmost)); path = dirname(path))
      await rmdir(path);
  } catch {
    // Not empty: it is somebody's now.
  }
}

/** `made`: the topmost folder that had to be made. */
async function stageFolder(out: string): Promise<{ stage: string; made: string | undefined }> {
  try {
    const made = await mkdir(out, { recursive: true });
    return { made, stage: await mkdtemp(join(out, '.identity-')) };
  } catch (error) {
    const reason = systemCode(error) ?? 'unknown error';
    throw new AiotError('AIOT_FILE_NOT_WRITABLE', `cannot write into ${out} (${reason})`, { cause: error });
  }
}

async function keep(stage: string, out: string, reply: ProvisionReply): Promise<void> {
  const { name, id, type } = reply.device;
  const identity: Identity = { name, id, type, urls: reply.urls };
  await writeFileAtomic(join(stage, 'device.crt'), reply.certificate);
  await writeFileAtomic(join(stage, 'ca.crt'), reply.ca);
  await writeFileAtomic(join(stage, 'trust.json'), `${JSON.stringify(reply.trust, null, 2)}\n`);
  await writeFileAtomic(join(stage, 'device.json'), `${JSON.stringify(identity, null, 2)}\n`);
  const moved: string[] = [];
  try {
    for (const file of identityFiles) {
      await moveNew(join(stage, file), join(out, file));
      moved.push(file);
    }
    await syncFolder(out);
  } catch (error) {
    for (const file of moved) await rm(join(out, file), { force: true });
    throw error;
  }
}

/** Moves without replacing: of two that provision into one folder at once, one gets it. @throws AIOT_IDENTITY_EXISTS */
async function moveNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (systemCode(error) === 'EEXIST') throw new AiotError('AIOT_IDENTITY_EXISTS', `${to} is there already`);
    // FAT, as on SD cards, has no links.
    await rename(from, to);
  }
}
