import { size } from '../../core/index.js';
import type { OtadataShown, Partitions } from '../../flash/images/partitions.js';
import { yellow } from './style.js';
import { facts, table } from './text.js';

/** A partition table, row by row. */
export function partitionsText({ partitions, md5, end, problems }: Partitions): string {
  const rows = partitions.map((row) => [
    row.name,
    row.type,
    row.subtype,
    hex(row.offset),
    hex(row.size),
    size(row.size),
    [row.encrypted && 'encrypted', row.readonly && 'readonly'].filter(Boolean).join(', '),
  ]);
  return [
    table(['Name', 'Type', 'Subtype', 'Offset', 'Size', '', 'Flags'], rows),
    `\nEnds at ${hex(end)} (${size(end)}); ${md5 ? 'with' : 'without'} an MD5 row.`,
    ...problems.map((problem) => `${yellow('!')} ${problem}`),
  ].join('\n');
}

/** Which app slot is started. */
export function otadataText({ active, slots, entries }: OtadataShown): string {
  const started = active === null ? 'none named: the factory app, or slot 0' : `slot ${active} of ${slots}`;
  const sectors = entries.map((entry, i): [string, string] => {
    if (entry === null) return [`Sector ${i}`, 'blank'];
    const state = entry.state === 'undefined' ? 'no state' : entry.state;
    return [`Sector ${i}`, `sequence ${entry.sequence}: slot ${entry.slot}, ${state}`];
  });
  return facts([['Starts', started], ...sectors]);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
