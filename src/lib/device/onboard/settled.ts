import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { AiotError, newId, readBytes, sha256Hex, systemClock, unless } from '../../core/index.js';
import { type Birth, verifyBirth } from '../../formats/index.js';
import { identityFiles, imageNames } from '../../provision/index.js';
import type { DeviceInfo, RegistryClient } from '../../registry/index.js';

/** So long what somebody just gave to a device is left to them, ms. */
const settleMs = 120_000;

export interface Change {
  kind: 'rotate' | 'replace';
  /** Folder that is to get the identity. */
  folder: string;
}

/**
 * Refuses to void what somebody else made for the device a moment ago and has not put to use: of two that rotate or
 * replace it into different folders at about the same time, both would be told that theirs is good. A rotation into the
 * folder that has it is no loss, and one that was cut short has no birth certificate yet: these are repeated at once.
 * @throws AIOT_DEVICE_CHANGED
 */
export async function requireSettled(
  client: RegistryClient,
  device: DeviceInfo,
  { kind, folder }: Change,
): Promise<void> {
  const { name, next, fingerprint } = device;
  const newest = kind === 'rotate' ? next?.fingerprint : wasReplaced(device) ? fingerprint : null;
  if (!newest) return;
  const stored = await unless('AIOT_BIRTH_MISSING', client.devices.birth.get(name));
  const trust = await client.trust.get();
  const ago = systemClock.now() - (stored?.stored ?? 0);
  if (!stored || !trust || ago > settleMs) return;
  const { birth } = verifyBirth(stored.envelope, trust);
  if (birth.certificate.fingerprint !== newest || (await isIn(folder, birth))) return;
  const seconds = Math.max(0, Math.round(ago / 1000));
  const wait = `repeat this ${settleMs / 60_000} minutes after`;
  const now = `aiot device rotate ${name} --out ${folder} --now`;
  throw new AiotError(
    'AIOT_DEVICE_CHANGED',
    kind === 'rotate'
      ? `${name} was rotated ${seconds} s ago into another folder or board, and that certificate is not used yet`
      : `${name} was replaced by somebody else ${seconds} s ago`,
    {
      next:
        kind === 'rotate'
          ? `Use that one. To void it: ${wait}; or, which also ends the one in use: ${now}`
          : `aiot device show ${name}; to replace it once more, ${wait}`,
    },
  );
}

/** Another board has an id of its own; the first one's begins with the time of its registration. */
function wasReplaced({ id, created }: DeviceInfo): boolean {
  const timePart = 'dev_'.length + 10;
  return id.slice(0, timePart) !== newId('dev', created).slice(0, timePart);
}

/** Whether a folder holds what a birth certificate tells of. */
async function isIn(folder: string, { images }: Birth): Promise<boolean> {
  const sums = new Set<string>();
  for (const name of [...identityFiles, ...Object.values(imageNames)]) {
    const path = join(folder, name);
    if (existsSync(path)) sums.add(sha256Hex(await readBytes(path)));
  }
  return images.every(({ sha256 }) => sums.has(sha256));
}
