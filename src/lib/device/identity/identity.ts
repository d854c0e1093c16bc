import { join } from 'node:path';
import type { ZodType } from 'zod';
import { AiotError, hasCode, issueText, readJson, readText } from '../../core/index.js';
import { type TrustRoot, trustRootSchema } from '../../formats/index.js';
import { type Identity, identitySchema } from '../../provision/index.js';

/** A device's identity: who it is, where its platform is, and whom it trusts. PEM texts. */
export interface DeviceIdentity extends Identity {
  key: string;
  certificate: string;
  ca: string;
  /** null = it was given none, and takes no update. */
  trust: TrustRoot | null;
}

/**
 * Reads the folder that `aiot device provision` writes.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED naming the file and the member
 */
export async function readIdentity(folder: string): Promise<DeviceIdentity> {
  const path = (name: string) => join(folder, name);
  const text = async (name: string) => await readText(path(name));
  const parse = async <T>(name: string, schema: ZodType<T>): Promise<T> => {
    const result = schema.safeParse(await readJson(path(name)));
    if (result.success) return result.data;
    throw new AiotError('AIOT_FILE_MALFORMED', `${path(name)}: ${issueText(result.error, 'file')}`);
  };
  const identity = await parse('device.json', identitySchema).catch((error: unknown) => {
    if (!hasCode(error, 'AIOT_FILE_NOT_FOUND')) throw error;
    throw new AiotError('AIOT_FILE_NOT_FOUND', `${folder} holds no identity of a device (device.json)`, {
      cause: error,
      next: `aiot device provision NAME --type virtual --out ${folder}`,
    });
  });
  return {
    ...identity,
    key: await text('device.key'),
    certificate: await text('device.crt'),
    ca: await text('ca.crt'),
    trust: await parse('trust.json', trustRootSchema.nullable()),
  };
}
