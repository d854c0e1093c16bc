import { size, thousands } from '../../core/index.js';
import type { ImageInfo } from '../../flash/images/image-info.js';
import type { Merged } from '../../flash/images/merge.js';
import { espChips } from '../../formats/index.js';
import { dim } from './style.js';
import { facts, table } from './text.js';

const hex = (value: number, digits = 0) => `0x${value.toString(16).padStart(digits, '0')}`;

/** What an image holds: the whole, the program it came from, its segments. */
export function imageText(image: ImageInfo): string {
  const { app, bootloader, revisions } = image;
  const { minimum, maximum } = revisions;
  const range = [...(minimum ? [`from v${minimum}`] : []), ...(maximum ? [`up to v${maximum}`] : [])].join(
    ' ',
  );
  const flash = [image.mode, image.size ?? 'unknown size', image.frequency ?? 'unknown clock'].join(', ');
  const rows: [string, string][] = [
    ['Chip', `${espChips[image.chip].title}${range === '' ? '' : `, revisions ${range}`}`],
    [
      'Kind',
      image.kind === 'app' ? 'application' : 'loaded by the ROM: a bootloader, or a program in its place',
    ],
    ...(app ? appFacts(app) : []),
    ...(bootloader
      ? ([
          ['Bootloader', `version ${bootloader.version}, ESP-IDF ${bootloader.idf}, ${bootloader.built}`],
        ] as [string, string][])
      : []),
    ['Flash', flash],
    ['Entry', hex(image.entry, 8)],
    [
      'Size',
      `${thousands(image.bytes)} bytes${image.trailing === 0 ? '' : `, and ${thousands(image.trailing)} behind it`}`,
    ],
    ['Checksum', `${hex(image.checksum, 2)}, right`],
    ['SHA-256', image.hash === null ? 'none appended' : `${image.hash}, right`],
  ];
  const segments = image.segments.map(({ address, offset, length, memory }, index) => [
    index,
    length,
    hex(address, 8),
    hex(offset, 6),
    memory.join(', '),
  ]);
  return `${facts(rows)}\n\n${table(['segment', 'bytes', 'address', 'in the file', 'memory'], segments)}`;
}

function appFacts(app: NonNullable<ImageInfo['app']>): [string, string][] {
  return [
    ['Project', `${app.project} ${app.version}`],
    ['Built', `${app.built}, ESP-IDF ${app.idf}`],
    ['ELF', `SHA-256 ${app.elfSha256}`],
    ...(app.secureVersion === 0
      ? []
      : ([['Secure version', String(app.secureVersion)]] as [string, string][])),
  ];
}

/** What was merged, and where it goes. */
export function mergedText(merged: Merged): string {
  const rows = merged.regions.map(({ offset, bytes, name }) => [hex(offset), bytes, name]);
  const goes = merged.offset === null ? '' : dim(`, to be written at ${hex(merged.offset)}`);
  return `${table(['offset', 'bytes', 'file'], rows)}\n\n${merged.file}: ${size(merged.bytes)}${goes}`;
}
