import { AiotError } from '../../core/index.js';
import {
  decryptNvs,
  type Envelope,
  envelopeSchema,
  type NvsEntry,
  readNvs,
  readNvsKeys,
  type TrustRoot,
  trustRootSchema,
} from '../../formats/index.js';
import type { Identity } from '../files/identity.js';
import type { OldNvs } from './keep.js';

/** Which device an NVS image is of; null for what it does not say. @throws AIOT_NVS_MALFORMED */
export function nameInImage({ nvs, keys }: OldNvs): { name: string | null; id: string | null } {
  const { entries } = readNvs(keys === null ? nvs : decryptNvs(nvs, readNvsKeys(keys)));
  const text = (key: string) => {
    const found = entries.find((entry) => entry.namespace === 'aiot' && entry.key === key);
    return found?.type === 'string' ? found.value : null;
  };
  return { name: text('name'), id: text('id') };
}

/** What a device holds of itself and of whom it trusts. PEM texts. */
export interface HeldIdentity extends Identity {
  key: string;
  certificate: string;
  ca: string;
  /** null = it was given none, and takes no update. */
  trust: TrustRoot | null;
  /** The root that this trust is from, of a device that walks from one to the next. */
  root?: Envelope | undefined;
}

/**
 * The identity in a device's NVS image, as its firmware reads it (docs/nvs.md). `what` names the image in errors.
 * @throws AIOT_NVS_MALFORMED (damaged, or of no device of ours)
 */
export function identityInImage({ nvs, keys }: OldNvs, what: string): HeldIdentity {
  const plain = keys === null ? nvs : decryptNvs(nvs, readNvsKeys(keys));
  const entries = new Map(readNvs(plain).entries.map((entry) => [`${entry.namespace}/${entry.key}`, entry]));
  const text = (place: string): string => {
    const entry = entries.get(place);
    if (entry?.type === 'string') return entry.value;
    throw new AiotError('AIOT_NVS_MALFORMED', `${what} is no device's image: it has no ${place}`);
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

/** The pieces root0, root1 … of a root's envelope, put together. */
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
