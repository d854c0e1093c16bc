import { join } from 'node:path';
import { hex, plural, size, thousands } from '../../core/figures.js';
import { shellWord } from '../../core/text.js';
import type { ImageInfo } from '../../flash/images/image-info.js';
import type { Inspected } from '../../flash/images/inspect.js';
import type { McubootInfo, SignedMcuboot } from '../../flash/images/mcuboot.js';
import type { Merged } from '../../flash/images/merge.js';
import type { OtadataShown, Partitions } from '../../flash/images/partitions.js';
import type { Crypted, SignedImage, VerifiedImage } from '../../flash/images/sign.js';
import type { WebInstaller } from '../../flash/images/web-installer.js';
import { espChips } from '../../formats/esp-image/chips.js';
import type { FirmwareBuild, FirmwareContainer } from '../../project/firmware/build.js';
import type { FirmwareTest } from '../../project/firmware/test-run.js';
import type { Burden } from '../../sensor/burden.js';
import { bold, dim, facts, green, red, shownPath, table, yellow } from './text.js';

/** Contents of an image: overview, program description, segments. */
export function imageText(image: ImageInfo): string {
  const { app, bootloader, revisions } = image;
  const { minimum, maximum } = revisions;
  const range = [...(minimum ? [`from v${minimum}`] : []), ...(maximum ? [`up to v${maximum}`] : [])].join(
    ' ',
  );
  const flash = [image.mode, image.size ?? 'unknown size', image.frequency ?? 'unknown frequency'].join(', ');
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
      `${thousands(image.bytes)} bytes${image.trailing === 0 ? '' : `, followed by ${thousands(image.trailing)} more`}`,
    ],
    ['Checksum', `${hex(image.checksum, 2)}, correct`],
    ['SHA-256', image.hash === null ? 'none' : `${image.hash}, correct`],
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

/** The merged images, and where to write the result. */
export function mergedText(merged: Merged): string {
  const rows = merged.regions.map(({ offset, bytes, name }) => [hex(offset), bytes, name]);
  const goes = merged.offset === null ? '' : dim(`; write it at ${hex(merged.offset)}`);
  return `${table(['offset', 'bytes', 'file'], rows)}\n\n${merged.file}: ${size(merged.bytes)}${goes}`;
}

const kinds: Record<Inspected['kind'], string> = {
  elf: 'ELF file',
  image: 'image',
  flash: 'flash',
  'partition-table': 'partition table',
  bundle: 'model bundle',
  mcuboot: 'MCUboot image',
  uf2: 'UF2 file',
};

const schemes = {
  'secure-boot-v1': 'for secure boot version 1',
  'secure-boot-v2': 'for secure boot version 2',
  release: 'as a release',
  mcuboot: 'for MCUboot',
} as const;

const types = {
  object: 'object file',
  executable: 'program',
  'position-independent': 'program that runs at any address',
} as const;

/** A firmware file: the common fields first, then those of its kind. */
export function inspectedText(inspected: Inspected): string {
  const { elf, use, bundle, parts } = inspected;
  const rows: [string, string][] = [['Type', titleOf(inspected)], ...named(elf, bundle)];
  if (use !== null) rows.push(['Uses', `${sized(use.flash)} of flash, ${sized(use.ram)} of RAM`]);
  rows.push(
    ['Signed', signedText(inspected)],
    ['File', sized(inspected.bytes)],
    ['SHA-256', inspected.sha256],
  );
  if (inspected.mcuboot !== null) rows.push(...mcubootFacts(inspected.mcuboot));
  const more = [
    ...(inspected.uf2 ? [uf2Text(inspected.uf2)] : []),
    ...(inspected.image ? [imageText(inspected.image)] : []),
    ...(elf && elf.sections.length > 0 ? [sectionsText(elf)] : []),
    ...(inspected.partitions ? [partitionsText(inspected.partitions)] : []),
    ...(parts.length > 0 ? [partsText(parts)] : []),
  ];
  return [facts(rows), ...more].join('\n\n');
}

function titleOf({ kind, elf }: Inspected): string {
  return elf === null
    ? `a ${kinds[kind]}`.replace(/^a (image|MCU)/, 'an $1')
    : `an ELF ${types[elf.type]}, ${elf.machine}, ${elf.bits} bits`;
}

function named(elf: Inspected['elf'], bundle: Inspected['bundle']): [string, string][] {
  if (bundle !== null) {
    const answers = bundle.classes.length === 0 ? '' : `, classes ${bundle.classes.join(', ')}`;
    return [['Contains', `${bundle.name}, a ${bundle.kind} of ${sized(bundle.networkBytes)}${answers}`]];
  }
  if (elf === null) return [];
  const names = elf.symbols ? 'present: aiot board monitor --elf can use it to decode crashes' : 'stripped';
  return [
    ['Entry', hex(elf.entry)],
    ['Names', names],
    ['Sections', `text ${thousands(elf.text)}, data ${thousands(elf.data)}, bss ${thousands(elf.bss)} bytes`],
  ];
}

function signedText({ signed, kind }: Inspected): string {
  if (signed === null)
    return kind === 'elf' || kind === 'bundle' || kind === 'image'
      ? 'no; aiot signs firmware when you push it'
      : 'no';
  const keys = signed.keyids.map((id) => `${id.slice(0, 16)}…`).join(', ');
  const state = { true: 'valid', false: yellow('invalid'), null: 'not verified' };
  return [`yes, ${schemes[signed.scheme]}`, keys && `by ${keys}`, state[`${signed.valid}`]]
    .filter(Boolean)
    .join('; ');
}

function uf2Text({ programs, ignoredBlocks }: NonNullable<Inspected['uf2']>): string {
  const rows = programs.flatMap(({ title, id, regions }) =>
    regions.map(({ address, bytes }) => [title, id, hex(address), bytes]),
  );
  const ignored = ignoredBlocks === 0 ? '' : `\n\nBlocks that bootloaders ignore: ${ignoredBlocks}`;
  return `${table(['family', 'id', 'address', 'bytes'], rows)}${ignored}`;
}

function sectionsText({ sections }: NonNullable<Inspected['elf']>): string {
  const rows = sections.map(({ name, address, bytes, part }) => [name, bytes, hex(address), part]);
  return table(['section', 'bytes', 'address', 'used as'], rows);
}

function partsText(parts: Inspected['parts']): string {
  const rows = parts.map(({ offset, name, what, bytes, problem }) => [
    hex(offset),
    name,
    bytes,
    problem === null ? what : `${what}: ${yellow(problem)}`,
  ]);
  return table(['offset', 'place', 'bytes', 'holds'], rows);
}

function sized(bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : `${size(bytes)} (${thousands(bytes)} bytes)`;
}

/** Typical next commands for a file of this kind. */
export function inspectedNext({ kind, file, elf, image, parts }: Inspected): string[] {
  const name = shellWord(file);
  if (kind === 'mcuboot')
    return [`aiot firmware verify ${name} --key public.pem`, `aiot firmware push ${name}`];
  if (kind === 'uf2') return [`aiot flash ${name} --port DRIVE`, 'aiot board ports'];
  if (kind === 'bundle') return [`aiot model inspect ${name}`];
  if (kind === 'partition-table') return [`aiot firmware partitions read ${name}`];
  if (kind === 'flash') {
    const app = parts.find(({ what, problem }) => problem === null && what.startsWith('app'));
    const inside = app ? [`aiot firmware image info ${name} --offset ${hex(app.offset)}`] : [];
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

/** The app slot that the board boots. */
export function otadataText({ active, slots, entries }: OtadataShown): string {
  const started = active === null ? 'none: boots the factory app, or slot 0' : `slot ${active} of ${slots}`;
  const sectors = entries.map((entry, i): [string, string] => {
    if (entry === null) return [`Sector ${i}`, 'blank'];
    const state = entry.state === 'undefined' ? 'no state' : entry.state;
    return [`Sector ${i}`, `sequence ${entry.sequence}: slot ${entry.slot}, ${state}`];
  });
  return facts([['Starts', started], ...sectors]);
}

/** The files of a build, followed by a description of the main one. */
export function firmwareBuildText(made: FirmwareBuild): string {
  const anew =
    made.regenerated.length === 0
      ? []
      : [['Generated from aiot.yaml', made.regenerated.join(', ')] as [string, string]];
  const head = facts([
    [
      'Built',
      `${made.name} ${made.version} for ${made.target}, by ${made.tool} in ${made.seconds.toFixed(1)} s`,
    ],
    ...anew,
  ]);
  const rows = made.files.map(({ file, bytes, text, data, bss }) => [
    shownPath(file),
    bytes,
    text,
    data,
    bss,
  ]);
  const files = table(['file', 'bytes', 'text', 'data', 'bss'], rows);
  // The table above already contains the sizes of the sections.
  const brief = { ...made.main, elf: made.main.elf && { ...made.main.elf, sections: [] } };
  return `${head}\n\n${files}\n\n${bold(shownPath(made.main.file))}\n${inspectedText(brief)}`;
}

/** Next commands, which test, release and flash the build. */
export function firmwareBuildNext({ target, main, files, name, type }: FirmwareBuild): string[] {
  const file = shellWord(shownPath(main.file));
  if (target === 'host')
    return [
      `aiot device simulate --native --program ${file}`,
      `aiot firmware push ${file} --name ${name} --types ${type ?? 'virtual'}`,
    ];
  if (target === 'rv32') return ['aiot firmware test'];
  if (target === 'c3') return [`aiot flash ${file}@0x0 --port PORT`];
  const bootloader = files.find(({ file }) => file.endsWith('bootloader.bin'));
  const first = bootloader === undefined ? '' : `${shellWord(shownPath(bootloader.file))}@bootloader `;
  const types = type === null ? '' : ` --types ${type}`;
  return [
    `aiot flash ${first}${file}@ota_0 --port PORT`,
    `aiot firmware push ${file} --name ${name}${types}`,
  ];
}

/** The command that builds in a container, for copying into a shell. */
export const firmwareContainerText = ({ command }: FirmwareContainer): string =>
  command.map(shellWord).join(' ');

export function firmwareContainerNext({ build }: FirmwareContainer): string[] {
  const at = (path: string, where: string) => `${shellWord(shownPath(join(build, path)))}@${where}`;
  return [
    `aiot flash ${at('bootloader/bootloader.bin', 'bootloader')} ${at('aiot.bin', 'ota_0')} --port PORT`,
  ];
}

const places = { host: 'this machine', rv32: 'RV32', esp32: 'ESP32 sources' } as const;

/** One line per test, with the complete output of failed ones. */
export function firmwareTestText(result: FirmwareTest): string {
  const states = { passed: green('passed'), failed: red('failed'), skipped: dim('skipped') };
  const rows = result.tests.map(({ name, on, state, seconds }) => [
    name,
    places[on],
    states[state],
    seconds.toFixed(2),
  ]);
  const failed = result.tests.flatMap(({ name, output }) =>
    output === null ? [] : [`\n${bold(name)}\n${output}`],
  );
  const rv32 = result.rv32
    ? ''
    : dim(
        '  Not run on RV32: its compiler, picolibc or qemu-system-riscv32 is missing, or --filter excluded it.\n',
      );
  const skipped = result.skipped === 0 ? '' : `, ${result.skipped} skipped`;
  const sum = `${plural(result.passed, 'test')} passed, ${thousands(result.failed)} failed${skipped}, in ${result.seconds.toFixed(1)} s`;
  return `${table(['test', 'on', 'result', 'seconds'], rows)}\n${failed.join('\n')}\n${rv32}${result.failed > 0 ? red(sum) : sum}`;
}

/** A circuit for a current clamp, component by component. */
export function burdenText(burden: Burden): string {
  const { clamp, converter, bias, capacitor, nominalAmperes } = burden;
  const { low, high, bits, volts } = converter;
  const heat = `${bold(`use ${ohm(burden.ohms)}`)} (E24), which dissipates ${unit(burden.watts, 'W')}`;
  return facts([
    ['Clamp', `${clamp.amperes} A : ${unit(clamp.secondaryAmperes, 'A')}, ${short(clamp.turns)} turns`],
    ['Burden', `${ohm(burden.exactOhms, 4)} is the exact value; ${heat} at ${short(nominalAmperes)} A`],
    ['Full scale', `${unit(burden.fullScaleAmperes, 'A')} RMS: peaks then reach ${low} and ${high} V`],
    ['Peaks', `±${unit(burden.peakVolts, 'V')} at ${short(nominalAmperes)} A RMS`],
    ['Calibration', `${short(burden.amperesPerVolt, 4)} A per V`],
    ['One count', `${unit(burden.amperesPerCount, 'A')} (${bits} bits of ${volts} V)`],
    [
      'Bias',
      `${ohm(bias.upperOhms)} to ${volts} V, ${ohm(bias.lowerOhms)} to ground: ${unit(bias.volts, 'V')}, ${unit(bias.amperes, 'A')}`,
    ],
    [
      'Capacitor',
      `${unit(capacitor.farads, 'F', 2)} from the bias to ground: stabilizes it above ${unit(capacitor.cornerHz, 'Hz', 2)}`,
    ],
  ]);
}

const prefixes: readonly [number, string][] = [
  [1e6, 'M'],
  [1e3, 'k'],
  [1, ''],
  [1e-3, 'm'],
  [1e-6, 'µ'],
];

/** A number with a suitable prefix for its unit: 0.055 W becomes `55 mW`. */
function unit(value: number, name: string, digits = 3): string {
  const [factor, prefix] = prefixes.find(([least]) => value >= least * 0.9995) ?? [1e-6, 'µ'];
  return `${short(value / factor, digits)} ${prefix}${name}`;
}

function ohm(value: number, digits = 3): string {
  return unit(value, 'Ω', digits);
}

function short(value: number, digits = 3): string {
  return String(value >= 10 ** digits ? Math.round(value) : Number(value.toPrecision(digits)));
}

/** The signatures that an image now has. */
export function signedImageText({ file, bytes, scheme, signatures }: SignedImage): string {
  const rows = signatures.map(({ key, keyDigest }, index) => [String(index), key, keyDigest]);
  const title = `${bold(file)}: ${size(bytes)}, signed for secure boot ${scheme}`;
  if (rows.length === 0) return title;
  return `${title}\n\n${table(['signature', 'key', 'digest of the public key'], rows)}`;
}

/** The signatures of an image, and whether each is valid and made with an expected key. */
export function verifiedImageText({ file, signatures, verified }: VerifiedImage): string {
  const rows = signatures.map(({ key, keyDigest, valid, expected }, index) => [
    valid && expected !== false ? green('✓') : valid === null && expected === null ? '?' : red('✗'),
    String(index),
    key,
    keyDigest ?? '-',
    signatureState(valid, expected),
  ]);
  const unchecked = signatures.some(({ valid, expected }) => valid === null && expected === null);
  const rejected = unchecked
    ? 'The hash is correct. To check the signature, add --key with the public key.'
    : red('The image would not be accepted.');
  const told = verified ? green('The signatures are valid.') : rejected;
  const shown = table(
    ['', 'signature', 'key', 'digest of the public key', ''],
    rows,
    'The image has no signature.',
  );
  return `${bold(file)}\n${shown}\n${told}`;
}

function signatureState(valid: boolean | null, expected: boolean | null): string {
  if (expected === false) return red('by another key');
  if (valid === null) return 'not checked';
  return valid ? 'valid' : red('invalid');
}

export function signedMcubootText({ file, bytes, key, image }: SignedMcuboot): string {
  const how = key === null ? 'hashed, not signed' : `signed with ${key}`;
  return `${bold(file)}: ${size(bytes)}, ${how}\n${facts(mcubootFacts(image))}`;
}

/** The fields of an MCUboot image. */
export function mcubootFacts(image: McubootInfo): [string, string][] {
  const { hash, securityCounter, dependencies, encryption, trailer, records } = image;
  const needs = dependencies.map(({ image: number, version }) => `image ${number} from ${version}`);
  return [
    ['Version', image.version],
    ['Header', `${image.headerBytes} bytes`],
    ['Program', sized(image.programBytes)],
    ['Hash', `${hash.algorithm} ${hash.value}`],
    ...(image.loadAddress === null ? [] : [['Load address', hex(image.loadAddress)] as [string, string]]),
    ...(securityCounter === null ? [] : [['Security counter', String(securityCounter)] as [string, string]]),
    ...(needs.length === 0 ? [] : [['Requires', needs.join(', ')] as [string, string]]),
    ...(encryption === null ? [] : [['Encrypted', encryption] as [string, string]]),
    ...(trailer === null ? [] : [['Trailer', trailer] as [string, string]]),
    [
      'Records',
      records.map(({ name, protected: kept }) => `${name}${kept ? ' (protected)' : ''}`).join(', '),
    ],
  ];
}

export function cryptedText({ file, bytes, address, algorithm }: Crypted): string {
  return `${bold(file)}: ${size(bytes)} for ${hex(address)}, ${algorithm}`;
}

/** An installer's builds, one line for each. */
export function webInstallerText({ dir, name, version, builds }: WebInstaller): string {
  const rows = builds.map(({ chipFamily, parts }): [string, string] => [
    chipFamily,
    `${plural(parts.length, 'part')}, ${size(parts.reduce((sum, { bytes }) => sum + bytes, 0))}`,
  ]);
  return `${bold(`${name} ${version}`)}\n${facts([['Folder', shownPath(dir)], ...rows])}`;
}
