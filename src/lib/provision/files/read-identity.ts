import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ZodType } from 'zod';
import { AiotError, hasCode, issueText, readBytes, readJson, readText } from '../../core/index.js';
import { envelopeSchema, trustRootSchema } from '../../formats/index.js';
import { imageNames } from '../chip/image.js';
import { type HeldIdentity, identityInImage } from '../chip/read-image.js';
import { identitySchema } from './identity.js';

/**
 * Reads the folder that `aiot device provision` writes: of a computer its files, of a chip its NVS image, as the firmware
 * would.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED naming the file and the member, AIOT_NVS_MALFORMED
 */
export async function readIdentity(folder: string): Promise<HeldIdentity> {
  const path = (name: string) => join(folder, name);
  const parse = async <T>(name: string, schema: ZodType<T>): Promise<T> => {
    const result = schema.safeParse(await readJson(path(name)));
    if (result.success) return result.data;
    throw new AiotError('AIOT_FILE_MALFORMED', `${path(name)}: ${issueText(result.error, 'the file')}`);
  };
  const identity = await parse('device.json', identitySchema).catch((error: unknown) => {
    if (!hasCode(error, 'AIOT_FILE_NOT_FOUND')) throw error;
    throw new AiotError('AIOT_FILE_NOT_FOUND', `${folder} holds no identity of a device (device.json)`, {
      cause: error,
      next: `aiot device provision NAME --type virtual --out ${folder}`,
    });
  });
  if (identity.chip !== undefined && !existsSync(path('device.key'))) {
    const [image, keys] = [path(imageNames.nvs), path(imageNames.keys)];
    const nvs = await readBytes(image);
    return identityInImage({ nvs, keys: existsSync(keys) ? await readBytes(keys) : null }, image);
  }
  return {
    ...identity,
    key: await readText(path('device.key')),
    certificate: await readText(path('device.crt')),
    ca: await readText(path('ca.crt')),
    trust: await parse('trust.json', trustRootSchema.nullable()),
    ...(existsSync(path('root.json')) && { root: await parse('root.json', envelopeSchema) }),
  };
}
