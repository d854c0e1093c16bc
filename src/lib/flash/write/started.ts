import {
  blankOtadata,
  otadataSector,
  otaSlots,
  type PartitionTable,
  partitionSubtypes,
  partitionTypes,
} from '../../formats/index.js';
import type { Loader, Region } from '../loader/types.js';
import { looksLike } from '../plan/looks.js';
import { activeSlot } from './app-slots.js';

/** Of an entry, at the beginning of its sector. */
const entryBytes = 32;

/**
 * A warning where an app is written into a slot that the board does not start: a board that was updated goes on with the
 * other one, and whoever flashes it wonders. null where all is well, or otadata is written too.
 */
export async function notStarted(
  loader: Loader,
  regions: readonly Region[],
  table: PartitionTable | null,
): Promise<string | null> {
  const { data } = partitionTypes;
  const otadata = table?.partitions.find(
    ({ type, subtype }) => type === data && subtype === partitionSubtypes[data]?.ota,
  );
  const slots = table ? otaSlots(table) : [];
  const written = slots.findIndex(({ offset }) =>
    regions.some((region) => region.offset === offset && looksLike(region.data)?.kind === 'app'),
  );
  if (!otadata || slots.length < 2 || written < 0) return null;
  const end = otadata.offset + otadata.size;
  if (regions.some((region) => region.offset < end && region.offset + region.data.length > otadata.offset))
    return null;
  const bytes = blankOtadata();
  for (const at of [0, otadataSector]) bytes.set(await loader.read(otadata.offset + at, entryBytes), at);
  const active = activeSlot(bytes, slots.length);
  if (active === null || active === written) return null;
  const [own, other] = [slots[written]!.label, slots[active]!.label];
  return `the board goes on starting ${other}: its otadata names it, and the app is written to ${own}. To start it: aiot flash erase ${otadata.label}, or write it with --slot next`;
}
