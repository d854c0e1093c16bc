import { join } from 'node:path';
import { AiotError, readBytes, readJson } from '../../core/index.js';
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
  const text = async (name: string) => (await readBytes(path(name))).toString('utf8');
  const parse = async <T>(name: string, schema: { safeParse(value: unknown): Parsed<T> }): Promise<T> => {
    const result = schema.safeParse(await readJson(path(name)));
    if (result.success) return result.data;
    const issue = result.error.issues[0];
    throw new AiotError(
      'AIOT_FILE_MALFORMED',
      `${path(name)}: ${issue?.path.join('.') || 'file'}: ${issue?.message}`,
    );
  };
  const identity = await parse('device.json', identitySchema).catch((error: unknown) => {
    if (!(error instanceof AiotError) || error.code !== 'AIOT_FILE_NOT_FOUND') throw error;
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

type Parsed<T> =
  | { success: true; data: T }
  | { success: false; error: { issues: { path: PropertyKey[]; message: string }[] } };
