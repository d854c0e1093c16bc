import { AiotError } from '../../core/index.js';
import { type DeviceHistoryEntry, numberOf, type PageQuery, pageOfRows } from '../../registry/index.js';
import type { Store } from '../store/database.js';
import type { Devices } from './devices.js';

/**
 * What was changed of a device of this name, newest first; of one that was removed as well, and of those that had the name
 * before it. @throws AIOT_NOT_FOUND where nobody ever had the name
 */
export async function deviceHistory(
  { store, devices }: { store: Store; devices: Devices },
  name: string,
  { limit, after }: PageQuery,
): Promise<{ entries: DeviceHistoryEntry[]; next: string | null }> {
  const rows = await store
    .selectFrom('events')
    .selectAll()
    .where('subject', '=', name)
    .where('type', 'like', 'device.%')
    .$if(after !== undefined, (query) => query.where('id', '<', numberOf(after ?? '')))
    .orderBy('id', 'desc')
    .limit(limit + 1)
    .execute();
  if (rows.length === 0 && after === undefined && devices.find(name) === null) {
    throw new AiotError('AIOT_NOT_FOUND', `no device is, or ever was, named ${name}`, {
      next: 'aiot device list',
    });
  }
  const page = pageOfRows(rows, limit, ({ id }) => String(id));
  const entries = page.entries.map(({ id, at, type, who, data }) => ({
    ...{ id, at, type, who },
    data: JSON.parse(data) as DeviceHistoryEntry['data'],
  }));
  return { entries, next: page.next };
}
