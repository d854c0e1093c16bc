import { AiotError } from '../../core/errors.js';
import { systemClock } from '../../core/time.js';
import type { Envelope, TrustRoot } from '../../formats/manifest/envelope.js';
import { type Manifest, peekManifest, verifyManifest } from '../../formats/manifest/manifest.js';
import type { Objection } from '../plan/types.js';
import { type BoardNvs, type NumberChange, nvsValue } from './board-nvs.js';

const update = 'aiot_update';

interface Accepted {
  manifest: Manifest;
  /** What `force` overrode. */
  overridden: Objection[];
}

/**
 * A bundle as the board itself would take it: signed by whom its own trust root names, for its type, not below its floor,
 * newer than what it committed last (unless forced), not expired.
 * @throws AIOT_TRUST_MISSING, AIOT_SIGNATURE_INVALID, AIOT_BUNDLE_…, AIOT_UPDATE_…
 */
export async function requireModelAccepted(
  image: { name: string; data: Uint8Array },
  nvs: BoardNvs,
  force: boolean,
): Promise<Accepted> {
  const trust = boardTrust(nvs);
  if (!trust) {
    const told = 'the board has no trust root, so nobody says whose model it takes';
    throw new AiotError('AIOT_TRUST_MISSING', told, {
      next: 'Provision it first: aiot device provision NAME --port PORT',
    });
  }
  const { verifySigned } = await import('../../model/bundle/signed-bundle.js');
  const { manifest } = verifySigned(image.data, trust, image.name);
  requireType(image.name, manifest, [nvsValue(nvs, 'string', 'aiot', 'type')]);
  const floor = nvsValue(nvs, 'u64', update, 'floor') ?? 0n;
  if (manifest.sequence < floor) {
    const below = `${image.name} has sequence ${manifest.sequence}, and the board takes none below ${floor}`;
    throw new AiotError('AIOT_UPDATE_FLOOR', below);
  }
  if (manifest.expires !== null && manifest.expires <= systemClock.now()) {
    throw new AiotError(
      'AIOT_UPDATE_EXPIRED',
      `${image.name} expired ${new Date(manifest.expires).toISOString()}`,
    );
  }
  const committed = nvsValue(nvs, 'u64', update, 'sequence') ?? 0n;
  if (manifest.sequence > committed) return { manifest, overridden: [] };
  const old = `${image.name} has sequence ${manifest.sequence}, and the board has committed ${committed}: it takes a higher one alone`;
  if (force) return { manifest, overridden: [{ rule: 'sequence', region: image.name, message: old }] };
  throw new AiotError('AIOT_UPDATE_SEQUENCE', old, {
    next: 'Sign the version anew (aiot model push), or write it all the same with --force.',
  });
}

/** What a commit raises in NVS, as the device does it by itself; numbers that its NVS lacks are left out. */
export function committedNumbers(nvs: BoardNvs, manifest: Manifest): NumberChange[] {
  return (['sequence', 'floor'] as const).flatMap((key) => {
    const before = nvsValue(nvs, 'u64', update, key);
    const value = BigInt(manifest[key]);
    return before === null || value <= before
      ? []
      : [{ type: 'u64' as const, namespace: update, key, value }];
  });
}

/**
 * A version of the registry against the board's identity, where it has one: its trust root, and its type. Firmware may be
 * released for a chip, too.
 * @param nvs null = no identity on the board @returns what `force` overrode
 * @throws AIOT_SIGNATURE_INVALID, AIOT_UPDATE_DEVICE_TYPE
 */
export function requireFirmwareAccepted(
  { name, envelope }: { name: string; envelope: Envelope },
  { nvs, chip, force }: { nvs: BoardNvs | null; chip: string; force: boolean },
): Objection[] {
  const type = nvs && nvsValue(nvs, 'string', 'aiot', 'type');
  if (!nvs || type === null) return [];
  const trust = boardTrust(nvs);
  try {
    // Whose signature the platform takes is checked where it is fetched.
    const manifest = trust ? verifyManifest(envelope, trust) : peekManifest(envelope);
    requireType(name, manifest, [type, chip]);
    return [];
  } catch (error) {
    if (!force || !(error instanceof AiotError)) throw error;
    const { message } = error;
    const told = message.startsWith(name) ? message : `${name}: ${message}`;
    return [{ rule: 'release', region: name, message: told }];
  }
}

function requireType(name: string, { deviceTypes }: Manifest, [type, chip]: (string | null)[]): void {
  if (type == null || deviceTypes.includes(type) || (chip != null && deviceTypes.includes(chip))) return;
  const told = `${name} is for ${deviceTypes.join(', ')}, and the board is of type ${type}`;
  throw new AiotError('AIOT_UPDATE_DEVICE_TYPE', told);
}

/** Whose signatures a board takes, from its own NVS (docs/nvs.md); null = it has no trust root. */
function boardTrust(nvs: Pick<BoardNvs, 'entries'>): TrustRoot | null {
  const namespace = 'aiot_trust';
  const threshold = nvsValue(nvs, 'u8', namespace, 'threshold');
  const count = nvsValue(nvs, 'u8', namespace, 'keys');
  if (threshold === null || count === null) return null;
  const keys: TrustRoot['keys'] = {};
  for (let i = 0; i < count; i++) {
    const id = nvsValue(nvs, 'string', namespace, `id${i}`);
    const key = nvsValue(nvs, 'blob', namespace, `key${i}`);
    if (id === null || key === null) continue;
    keys[id] = { algorithm: 'ecdsa-p256-sha256', publicKey: Buffer.from(key).toString('base64') };
  }
  const version = nvsValue(nvs, 'u32', namespace, 'version') ?? 1;
  return {
    spec: 'aiot-trust/1',
    version,
    keys,
    roles: { release: { keyids: Object.keys(keys), threshold } },
  };
}
