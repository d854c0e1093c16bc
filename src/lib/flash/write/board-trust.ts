import type { TrustRoot } from '../../formats/index.js';
import { type BoardNvs, nvsValue } from './nvs-on-board.js';

/** Whose signatures a board takes, from its own NVS (docs/nvs.md); null = it has no trust root. */
export function boardTrust(nvs: Pick<BoardNvs, 'entries'>): TrustRoot | null {
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
