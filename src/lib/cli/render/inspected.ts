import { shellWord, size, thousands } from '../../core/index.js';
import type { Inspected } from '../../flash/images/inspect.js';
import { imageText } from './firmware.js';
import { partitionsText } from './partitions.js';
import { yellow } from './style.js';
import { facts, table } from './text.js';

const kinds: Record<Inspected['kind'], string> = {
  elf: 'ELF file',
  image: 'image',
  flash: 'flash',
  'partition-table': 'partition table',
  bundle: 'model bundle',
};
const schemes = {
  'secure-boot-v1': 'for secure boot version 1',
  'secure-boot-v2': 'for secure boot version 2',
  release: 'as a release',
} as const;
const types = {
  object: 'object file',
  executable: 'program',
  'position-independent': 'program that runs at any address',
} as const;

/** What a firmware file is: first that which all have, then its own. */
export function inspectedText(inspected: Inspected): string {
  const { elf, use, bundle, parts } = inspected;
  const rows: [string, string][] = [['It is', titleOf(inspected)], ...named(elf, bundle)];
  if (use !== null) rows.push(['Takes', `${sized(use.flash)} of flash, ${sized(use.ram)} of RAM`]);
  rows.push(
    ['Signed', signedText(inspected)],
    ['File', sized(inspected.bytes)],
    ['SHA-256', inspected.sha256],
  );
  const more = [
    ...(inspected.image ? [imageText(inspected.image)] : []),
    ...(elf && elf.sections.length > 0 ? [sectionsText(elf)] : []),
    ...(inspected.partitions ? [partitionsText(inspected.partitions)] : []),
    ...(parts.length > 0 ? [partsText(parts)] : []),
  ];
  return [facts(rows), ...more].join('\n\n');
}

function titleOf({ kind, elf }: Inspected): string {
  return elf === null
    ? `a ${kinds[kind]}`.replace('a image', 'an image')
    : `an ELF ${types[elf.type]}, ${elf.machine}, ${elf.bits} bits`;
}

function named(elf: Inspected['elf'], bundle: Inspected['bundle']): [string, string][] {
  if (bundle !== null) {
    const answers = bundle.classes.length === 0 ? '' : `, answers ${bundle.classes.join(', ')}`;
    return [['Holds', `${bundle.name}, a ${bundle.kind} of ${sized(bundle.networkBytes)}${answers}`]];
  }
  if (elf === null) return [];
  const names = elf.symbols ? 'there: aiot monitor --elf can read crashes with it' : 'stripped';
  return [
    ['Entry', `0x${elf.entry.toString(16)}`],
    ['Names', names],
    ['Sections', `text ${thousands(elf.text)}, data ${thousands(elf.data)}, bss ${thousands(elf.bss)} bytes`],
  ];
}

function signedText({ signed, kind }: Inspected): string {
  if (signed === null)
    return kind === 'elf' || kind === 'bundle' || kind === 'image' ? 'no: aiot signs what it pushes' : 'no';
  const keys = signed.keyids.map((id) => `${id.slice(0, 16)}…`).join(', ');
  const hash = { true: 'its hash is right', false: yellow('its hash is wrong'), null: 'not verified here' };
  return [`yes, ${schemes[signed.scheme]}`, keys && `by ${keys}`, hash[`${signed.hashRight}`]]
    .filter(Boolean)
    .join('; ');
}

function sectionsText({ sections }: NonNullable<Inspected['elf']>): string {
  const rows = sections.map(({ name, address, bytes, part }) => [
    name,
    bytes,
    `0x${address.toString(16)}`,
    part,
  ]);
  return table(['section', 'bytes', 'address', 'counts as'], rows);
}

function partsText(parts: Inspected['parts']): string {
  const rows = parts.map(({ offset, name, what, bytes, problem }) => [
    `0x${offset.toString(16)}`,
    name,
    bytes,
    problem === null ? what : `${what}: ${yellow(problem)}`,
  ]);
  return table(['offset', 'place', 'bytes', 'holds'], rows);
}

function sized(bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : `${size(bytes)} (${thousands(bytes)} bytes)`;
}

/** What is usually done with such a file. */
export function inspectedNext({ kind, file, elf, image, parts }: Inspected): string[] {
  const name = shellWord(file);
  if (kind === 'bundle') return [`aiot model inspect ${name}`];
  if (kind === 'partition-table') return [`aiot firmware partitions read ${name}`];
  if (kind === 'flash') {
    const app = parts.find(({ what, problem }) => problem === null && what.startsWith('app'));
    const inside = app ? [`aiot firmware image info ${name} --offset 0x${app.offset.toString(16)}`] : [];
    return [`aiot flash ${name}@0x0`, ...inside];
  }
  if (image !== null) {
    const flash = `aiot flash ${name}${image.format === 'image' ? `@${image.kind === 'app' ? 'ota_0' : 'bootloader'}` : ''}`;
    return image.kind === 'app' ? [flash, `aiot firmware push ${name}`] : [flash];
  }
  if (elf?.type === 'object') return ['aiot firmware build'];
  const chip = elf?.machine === 'xtensa' ? 'esp32' : 'esp32c3';
  if (elf?.machine === 'xtensa' || (elf?.machine === 'riscv' && elf.bits === 32))
    return [`aiot firmware image create ${name} --chip ${chip}`];
  return [`aiot firmware push ${name} --name NAME --types virtual`];
}
