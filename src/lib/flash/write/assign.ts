import { AiotError } from '../../core/index.js';
import type { ChipInfo } from '../loader/types.js';
import type { DeviceIdentity } from './identity.js';
import type { RecordRow } from './record.js';

/**
 * Gives each board an identity of its own: the one that it got before, as the record or the identity's own folder says, or
 * that was made for it, else the first that no board has. No identity is given twice, also over several runs.
 * @param single the one identity that was asked for by name: another board may get it, and the plan says what speaks against
 */
export function assignIdentities(
  identities: readonly DeviceIdentity[],
  record: readonly RecordRow[],
  single = false,
): (chip: Pick<ChipInfo, 'mac' | 'chip'>) => DeviceIdentity {
  const byMac = new Map<string, DeviceIdentity>();
  const taken = new Set<string>();
  if (!single) {
    for (const identity of identities) {
      const mac = identity.mac ?? identity.given;
      if (mac === null) continue;
      taken.add(identity.name);
      byMac.set(mac, identity);
    }
  }
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
      const all = `${fitting.length} ${fitting.length === 1 ? 'identity' : 'identities'} for ${chip} boards, and none is left`;
      throw new AiotError('AIOT_USAGE', fitting.length === 0 ? `there is no identity for an ${chip}` : all, {
        next: 'aiot device provision --csv fleet.csv --out DIR makes more.',
      });
    }
    taken.add(free.name);
    byMac.set(mac, free);
    return free;
  };
}
