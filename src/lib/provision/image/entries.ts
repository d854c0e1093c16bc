import type { Envelope, NvsEntry, TrustRoot } from '../../formats/index.js';
import type { ImageIdentity, ImageOptions } from './types.js';

/** Of the layout below. A firmware that finds a greater one than it knows asks to be updated. */
const layout = 1;

/** What firmware finds in NVS; docs/nvs.md is written for who reads it there. */
export function deviceEntries(identity: ImageIdentity, options: ImageOptions): NvsEntry[] {
  const { platform, wifi, trust, root, release } = options;
  const aiot = 'aiot';
  return [
    number(aiot, 'layout', 'u8', layout),
    text(aiot, 'name', identity.name),
    text(aiot, 'id', identity.id),
    text(aiot, 'type', identity.type),
    text(aiot, 'chip', identity.chip),
    ...(identity.chipId === null ? [] : [text(aiot, 'chip_id', identity.chipId)]),
    number(aiot, 'model_slot', 'u8', 0),
    text(aiot, 'http', platform.http),
    text(aiot, 'mqtts', platform.mqtts),
    text(aiot, 'ca', platform.ca),
    text(aiot, 'certificate', identity.certificate),
    text(aiot, 'key', identity.key),
    ...(trust ? trustEntries(trust) : []),
    ...(root ? rootEntries(root) : []),
    { namespace: 'aiot_update', key: 'sequence', type: 'u64', value: BigInt(release.sequence) },
    { namespace: 'aiot_update', key: 'floor', type: 'u64', value: BigInt(release.floor) },
    ...(wifi ? [text('wifi', 'ssid', wifi.ssid), text('wifi', 'password', wifi.password)] : []),
  ];
}

/** The keys that may sign a release, numbered; those without the right to are left out. */
function trustEntries(trust: TrustRoot): NvsEntry[] {
  const { keyids, threshold } = trust.roles.release;
  const keys = keyids.flatMap((id) => (trust.keys[id] ? [{ id, key: trust.keys[id].publicKey }] : []));
  return [
    number('aiot_trust', 'version', 'u32', trust.version),
    number('aiot_trust', 'threshold', 'u8', threshold),
    number('aiot_trust', 'keys', 'u8', keys.length),
    ...keys.flatMap(({ id, key }, i): NvsEntry[] => [
      text('aiot_trust', `id${i}`, id),
      { namespace: 'aiot_trust', key: `key${i}`, type: 'blob', value: Buffer.from(key, 'base64') },
    ]),
  ];
}

/** A blob of NVS in its older version ends with its page: so it is cut into pieces that fit. */
const pieceBytes = 1500;

/** The root's envelope, from which firmware walks to newer ones. */
function rootEntries(root: Envelope): NvsEntry[] {
  const bytes = Buffer.from(JSON.stringify(root));
  return Array.from({ length: Math.ceil(bytes.length / pieceBytes) }, (_, i) => ({
    namespace: 'aiot_trust',
    key: `root${i}`,
    type: 'blob',
    value: bytes.subarray(i * pieceBytes, (i + 1) * pieceBytes),
  }));
}

function text(namespace: string, key: string, value: string): NvsEntry {
  return { namespace, key, type: 'string', value };
}

function number(namespace: string, key: string, type: 'u8' | 'u32', value: number): NvsEntry {
  return { namespace, key, type, value };
}
