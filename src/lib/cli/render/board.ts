import { plural, size } from '../../core/index.js';
import type { BoardErased, BoardInfo, BoardRead, BoardVerified } from '../../flash/board.js';
import { bold, dim, green, red, yellow } from './style.js';
import { elapsed, facts, table } from './text.js';

const hex = (value: number) => `0x${value.toString(16)}`;

/** A chip for people. */
export function boardInfoText(info: BoardInfo): string {
  const { chip, description, features, crystalMHz, mac, flash, security, stub, baud, partitions, port } =
    info;
  const locks = [
    security.secureBoot ? 'secure boot' : null,
    security.flashEncryption ? 'flash encryption' : null,
    security.secureDownload ? 'secure download mode' : null,
  ].filter((lock) => lock !== null);
  const rows: [string, string][] = [
    ['chip', `${bold(chip)}  ${description}`],
    ['features', features.join(', ') || dim('not known')],
    ['crystal', crystalMHz > 0 ? `${crystalMHz} MHz` : dim('not known')],
    ['MAC', mac || dim('not readable')],
    ['flash', flashText(flash)],
    ['fuses', locks.length > 0 ? yellow(locks.join(', ')) : green('open: no secure boot, no encryption')],
    ['spoke with', `${stub ? 'the flasher stub' : 'the ROM'} at ${baud} baud, ${port}`],
  ];
  return `${facts(rows)}\n\n${partitionsText(partitions)}`;
}

function flashText({ id, bytes }: BoardInfo['flash']): string {
  if (bytes !== null) return `${size(bytes)} (id ${id})`;
  return id === '000000' || id === 'ffffff'
    ? red(`does not answer (id ${id})`)
    : dim(`size not known (id ${id})`);
}

function partitionsText(partitions: BoardInfo['partitions']): string {
  if (partitions === null) return dim('No partition table.');
  const rows = partitions.map(({ label, type, subtype, offset, size: bytes }) => [
    label,
    type,
    subtype,
    hex(offset),
    size(bytes),
  ]);
  return table(['partition', 'type', 'subtype', 'offset', 'size'], rows);
}

export function boardReadText({ bytes, offset, out, seconds, chip, mac, port, md5 }: BoardRead): string {
  return `${size(bytes)} from ${hex(offset)} of ${bold(`${chip} ${mac}`)} at ${port} → ${out} in ${elapsed(seconds * 1000)}; MD5 ${md5}`;
}

export function boardErasedText({
  bytes,
  offset,
  chip,
  mac,
  port,
  seconds,
  overridden,
}: BoardErased): string {
  const what = bytes === null ? 'the whole flash' : `${size(bytes)} from ${hex(offset)}`;
  const forced = overridden.map((message) => `${yellow('! --force overrode:')} ${message}\n`).join('');
  return `${forced}${bold(`${chip} ${mac}`)} at ${port}: ${what} erased in ${elapsed(seconds * 1000)}.`;
}

export function boardVerifiedText({ regions, equal, chip, mac, port, seconds }: BoardVerified): string {
  const rows = regions.map((region) => [
    hex(region.offset),
    region.name,
    size(region.bytes),
    region.equal ? green('equal') : red('different'),
    region.md5,
  ]);
  const different = regions.filter((region) => !region.equal).length;
  const told = equal
    ? green('as the files')
    : red(`${different} of ${plural(regions.length, 'file')} different`);
  return `${table(['offset', 'file', 'size', '', 'md5'], rows)}\n${bold(`${chip} ${mac}`)} at ${port}: ${told}, in ${elapsed(seconds * 1000)}.`;
}
