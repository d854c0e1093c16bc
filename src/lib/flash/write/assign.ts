import { AiotError } from '../../core/index.js';
import type { ChipInfo } from '../loader/types.js';
import type { DeviceIdentity } from './identity.js';
import type { RecordRow } from './record.js';

/**
 * Gives each board an identity of its own: the one that the record says it got before, else the first that no board has.
 * No identity is given twice, also over several runs with one record.
 */
export function assignIdentities(
  identities: readonly DeviceIdentity[],
  record: readonly RecordRow[],
): (chip: Pick<ChipInfo, 'mac' | 'chip'>) => DeviceIdentity {
  const byMac = new Map<string, DeviceIdentity>();
  const taken = new Set<string>();
  for (const { mac, device, result } of record) {
    const identity = identities.find(({ name }) => name === device);
    if (result !== 'ok' || !identity) continue;
    taken.add(device);
    byMac.set(mac, identity);
  }
  return ({ mac, chip }) => {
    const known = byMac.get(mac);
    if (known) return known;
    const fitting = identities.filter((identity) => identity.chip === null || identity.chip === chip);
    const free = fitting.find(({ name }) => !taken.has(name));
    if (!free) {
      const all = `${identities.length} identities for ${chip} boards, and all of them are taken`;
      throw new AiotError('AIOT_USAGE', fitting.length === 0 ? `there is no identity for an ${chip}` : all, {
        next: 'aiot device provision --csv fleet.csv --out DIR makes more.',
      });
    }
    taken.add(free.name);
    byMac.set(mac, free);
    return free;
  };
}
