import { AiotError } from '../../core/index.js';
import {
  type ByteRegion,
  otadataBytes,
  partitionTableBytes,
  partitionTableOffset,
  readEspImage,
  readNvs,
  readOtadata,
} from '../../formats/index.js';
import { looksLike, looksLikeTable } from '../plan/looks.js';
import type { FlashPart } from './inspect-schema.js';
import { type Partitions, tableOf } from './partitions.js';

/** Where a chip's ROM or a usual table looks for images, with what they are called there. */
const places: readonly [offset: number, name: string][] = [
  [0x0, 'bootloader'],
  [0x1000, 'bootloader'],
  [0x2000, 'bootloader'],
  [0x10000, 'app'],
];

/** All that is known in a flash: the table, images, settings. What is damaged has its problem beside it. */
export function flashParts(
  regions: readonly ByteRegion[],
  file: string,
): { table: Partitions | null; parts: FlashPart[] } {
  const parts: FlashPart[] = [];
  const at = (offset: number, length?: number) => bytesAt(regions, offset, length);
  let table: Partitions | null = null;
  const raw = at(partitionTableOffset, partitionTableBytes);
  if (looksLikeTable(raw)) {
    parts.push(
      tried({ offset: partitionTableOffset, name: 'partition-table' }, 'partition table', () => {
        table = tableOf(padded(raw), file);
        return { what: `${table.partitions.length} partitions`, bytes: partitionTableBytes };
      }),
    );
  }
  const named = (table as Partitions | null)?.partitions ?? [];
  const apps = named.filter(({ type }) => type === 'app');
  const known = places.filter(([offset]) => !apps.some((app) => app.offset === offset));
  for (const { offset, name, size } of [
    ...known.map(([offset, name]) => ({ offset, name, size: undefined })),
    ...apps,
  ]) {
    const data = at(offset, size);
    if (looksLike(data) !== null) parts.push(tried({ offset, name }, 'image', () => imageIn(data, file)));
  }
  for (const { offset, name, size, type, subtype } of named) {
    const data = at(offset, size);
    if (type !== 'data' || data.length < size || data.every((byte) => byte === 0xff)) continue;
    if (subtype === 'nvs') parts.push(tried({ offset, name }, 'NVS', () => nvsIn(data)));
    if (subtype === 'ota') parts.push(tried({ offset, name }, 'otadata', () => otadataIn(data, apps.length)));
  }
  return { table, parts: parts.sort((a, b) => a.offset - b.offset) };
}

function imageIn(data: Uint8Array, file: string) {
  const { chip, kind, app, length } = readEspImage(data, file);
  const program = app === null ? '' : `: ${app.project} ${app.version}`.trimEnd();
  return { what: `${kind === 'app' ? 'app' : 'bootloader'} for ${chip}${program}`, bytes: length };
}

function nvsIn(data: Uint8Array) {
  const { entries } = readNvs(data);
  const spaces = new Set(entries.map(({ namespace }) => namespace));
  return { what: `NVS: ${entries.length} entries in ${[...spaces].join(', ')}`, bytes: data.length };
}

/** A file that is otadata alone, such as the erased `ota_data_initial.bin` that ESP-IDF builds; null = it is none. How many slots there are it does not say. */
export function otadataPart(data: Uint8Array): FlashPart | null {
  if (data.length !== otadataBytes) return null;
  const part = tried({ offset: 0, name: 'otadata' }, 'otadata', () => {
    const { entries } = readOtadata(data);
    if (entries.every((entry) => entry === null))
      return { what: 'otadata: erased, names no slot', bytes: data.length };
    const newest = Math.max(...entries.map((entry) => (entry?.usable ? entry.sequence : 0)));
    return {
      what: newest === 0 ? 'otadata: names no slot' : `otadata: sequence ${newest}`,
      bytes: data.length,
    };
  });
  return part.problem === null ? part : null;
}

function otadataIn(data: Uint8Array, slots: number) {
  const active = readOtadata(data).active(slots);
  return {
    what: active === null ? 'otadata: names no slot' : `otadata: starts slot ${active}`,
    bytes: data.length,
  };
}

function tried(
  place: Pick<FlashPart, 'offset' | 'name'>,
  what: string,
  read: () => Pick<FlashPart, 'what' | 'bytes'>,
): FlashPart {
  try {
    return { ...place, ...read(), problem: null };
  } catch (error) {
    if (!(error instanceof AiotError)) throw error;
    return { ...place, what, bytes: 0, problem: error.message };
  }
}

/** What the regions hold from an offset on; nothing where none holds it. */
function bytesAt(regions: readonly ByteRegion[], offset: number, length?: number): Uint8Array {
  const holder = regions.find(({ offset: start, data }) => start <= offset && offset < start + data.length);
  if (holder === undefined) return new Uint8Array(0);
  const from = offset - holder.offset;
  return holder.data.subarray(from, length === undefined ? undefined : from + length);
}

/** A table is as long as it has rows, where nothing follows it. */
function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(partitionTableBytes).fill(0xff);
  whole.set(bytes);
  return whole;
}
