import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ZodType } from 'zod';
import { AiotError, hasCode } from '../core/errors.js';
import { readBytes, readJson, readText } from '../core/files.js';
import { issueText } from '../core/issues.js';
import { shellWord } from '../core/text.js';
import {
  type Envelope,
  envelopeSchema,
  type TrustRoot,
  trustRootSchema,
} from '../formats/manifest/envelope.js';
import { decryptNvs, readNvsKeys } from '../formats/nvs/crypt.js';
import { readNvs } from '../formats/nvs/read.js';
import type { NvsEntry } from '../formats/nvs/types.js';
import { imageNames, type OldNvs } from './chip-image.js';
import { type Identity, identitySchema } from './identity-folder.js';

/**
 * Reads a folder written by `aiot device provision`: for a computer the identity files, for a chip the NVS image, as the firmware reads it.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED (with the file and the member)
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
    if (/\.(csv|wav|png|jpe?g)$/i.test(folder) && existsSync(folder)) {
      throw new AiotError('AIOT_USAGE', `expected a device's folder, got the recording ${folder}`, {
        cause: error,
        next: `Pass the folder from \`aiot device provision\`, and the recording with --recording: \`aiot device simulate DEVICE --recording ${shellWord(folder)} --loop\`.`,
      });
    }
    throw new AiotError('AIOT_FILE_NOT_FOUND', `${folder} contains no device identity (device.json)`, {
      cause: error,
      next: `Create one with \`aiot device provision NAME --type virtual --out ${folder}\`.`,
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

/** The device to which an NVS image belongs. Missing values are null. @throws AIOT_FILE_MALFORMED */
export function nameInImage({ nvs, keys }: OldNvs): { name: string | null; id: string | null } {
  const { entries } = readNvs(keys === null ? nvs : decryptNvs(nvs, readNvsKeys(keys)));
  const text = (key: string) => {
    const found = entries.find((entry) => entry.namespace === 'aiot' && entry.key === key);
    return found?.type === 'string' ? found.value : null;
  };
  return { name: text('name'), id: text('id') };
}

/** A device's identity and the keys it trusts. Texts are in PEM format. */
export interface HeldIdentity extends Identity {
  key: string;
  certificate: string;
  ca: string;
  /** Keys that the device trusts; null = it has no keys and therefore accepts no updates. */
  trust: TrustRoot | null;
  /** The root from which this trust is derived, for a device that follows root updates. */
  root?: Envelope | undefined;
}

/**
 * The identity in a device's NVS image, as its firmware reads it (docs/reference/nvs.md). `what` is the image's name in errors.
 * @throws AIOT_FILE_MALFORMED (damaged, or not written by aiot)
 */
export function identityInImage({ nvs, keys }: OldNvs, what: string): HeldIdentity {
  const plain = keys === null ? nvs : decryptNvs(nvs, readNvsKeys(keys));
  const entries = new Map(readNvs(plain).entries.map((entry) => [`${entry.namespace}/${entry.key}`, entry]));
  const text = (place: string): string => {
    const entry = entries.get(place);
    if (entry?.type === 'string') return entry.value;
    throw new AiotError('AIOT_FILE_MALFORMED', `${what} is not a device image: ${place} is missing`, {
      subject: 'nvs',
      next: 'Use the folder or board of a device that was provisioned with `aiot device provision`.',
    });
  };
  return {
    name: text('aiot/name'),
    id: text('aiot/id'),
    type: text('aiot/type'),
    urls: { http: text('aiot/http'), mqtts: text('aiot/mqtts') },
    key: text('aiot/key'),
    certificate: text('aiot/certificate'),
    ca: text('aiot/ca'),
    trust: trustIn(entries, text),
    ...rootIn(entries),
  };
}

/** Joins the chunks root0, root1 … of a root's envelope. */
function rootIn(entries: ReadonlyMap<string, NvsEntry>): { root?: Envelope } {
  const pieces: Uint8Array[] = [];
  for (;;) {
    const entry = entries.get(`aiot_trust/root${pieces.length}`);
    if (entry?.type !== 'blob') break;
    pieces.push(entry.value);
  }
  if (pieces.length === 0) return {};
  return { root: envelopeSchema.parse(JSON.parse(Buffer.concat(pieces).toString('utf8'))) };
}

function trustIn(entries: ReadonlyMap<string, NvsEntry>, text: (place: string) => string): TrustRoot | null {
  const number = (key: string) => Number(entries.get(`aiot_trust/${key}`)?.value ?? 0);
  const count = number('keys');
  if (count === 0) return null;
  const keyids = Array.from({ length: count }, (_, i) => text(`aiot_trust/id${i}`));
  const keys = keyids.map((id, i) => {
    const entry = entries.get(`aiot_trust/key${i}`);
    const publicKey = entry?.type === 'blob' ? Buffer.from(entry.value).toString('base64') : '';
    return [id, { algorithm: 'ecdsa-p256-sha256', publicKey }];
  });
  return trustRootSchema.parse({
    spec: 'aiot-trust/1',
    version: number('version'),
    keys: Object.fromEntries(keys),
    roles: { release: { keyids, threshold: number('threshold') } },
  });
}
