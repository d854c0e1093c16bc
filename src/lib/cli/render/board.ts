import type { AiotError } from '../../core/errors.js';
import { elapsed, hex, plural, size } from '../../core/figures.js';
import { shellWord } from '../../core/text.js';
import type {
  BoardDumped,
  BoardErased,
  BoardLoaded,
  BoardRead,
  BoardRun,
  BoardVerified,
} from '../../flash/board.js';
import type { BoardInfo } from '../../flash/board-info.js';
import type { BoardLocked } from '../../flash/lock/lock.js';
import type { BoardDrive } from '../../flash/port/drives.js';
import type { PortInfo } from '../../flash/port/list.js';
import type { BoardSecurity } from '../../flash/security.js';
import type { BoardImages, InstalledImage, UploadedImage } from '../../flash/smp/boards.js';
import type { DriveFlashed } from '../../flash/write/flash-drive.js';
import {
  type Boards,
  type Flashed,
  type Planned,
  type ProductionFlashed,
  toPrevious,
  unhealthy,
} from '../../flash/write/result.js';
import { firmwareTargets } from '../../project/firmware/build.js';
import { bold, cutShort, dim, facts, green, next, red, table, yellow } from './text.js';

/** A table of this machine's serial ports, and one of the drives of UF2 bootloaders, if there are any. */
export function portsTable(ports: readonly PortInfo[], drives: readonly BoardDrive[] = []): string {
  const rows = ports.map((port) => [
    port.path,
    port.usb ? `${port.usb.vendorId}:${port.usb.productId}` : null,
    port.usb?.serialNumber ?? null,
    port.adapter ??
      (port.board ? port.product : dim(port.kind === 'onboard' ? 'built into the board' : port.kind)),
    likely(port),
    state(port),
  ]);
  const serial = table(
    ['port', 'vid:pid', 'serial number', 'adapter', 'likely chip', 'state'],
    rows,
    'No serial ports.',
  );
  if (drives.length === 0) return serial;
  const found = drives.map(({ path, boardId, model, families }) => [
    path,
    boardId,
    model,
    families.join(', ') || dim('unknown'),
  ]);
  return `${serial}\n\n${table(['drive', 'board', 'model', 'UF2 families'], found)}`;
}

function likely({ board, adapter, chips }: PortInfo): string | null {
  if (!board || !adapter) return null;
  return chips.length === 0 ? 'any' : chips.map(title).join(', ');
}

/** Title of a chip: `esp32s3` becomes `ESP32-S3`. */
const title = (chip: string) => chip.toUpperCase().replace(/^ESP32(?=.)/, 'ESP32-');

function state({ access, group, busy, holders }: PortInfo): string {
  const by = holders.map(({ name, pid }) => `${name}, pid ${pid}`).join('; ');
  if (access === 'denied') return red(`permission denied${group ? `: join the group ${group}` : ''}`);
  if (busy) return yellow(`in use by ${by}`);
  return access === 'unknown' && busy === null ? dim('unknown') : 'free';
}

/** Description of a board: its chip, and the contents of its flash. */
export function boardInfoText(info: BoardInfo): string {
  const { chip, description, features, crystalMHz, mac, flash, stub, baud, partitions, port, apps } = info;
  const rows: [string, string][] = [
    ['chip', `${bold(chip)}  ${description}`],
    ['features', features.join(', ') || dim('unknown')],
    ['crystal', crystalMHz > 0 ? `${crystalMHz} MHz` : dim('unknown')],
    ['MAC', mac || dim('cannot be read')],
    ['flash', flashText(flash)],
    ['bootloader', bootloaderText(info)],
    ['fuses', fusesText(info)],
    ['connection', `${stub ? 'flasher stub' : 'ROM loader'} at ${baud} baud, ${port}`],
  ];
  const parts = [facts(rows), partitionsText(partitions)];
  if (apps.length > 0) parts.push(appsText(apps, info.fuses?.secureVersion ?? 0));
  if (info.models.length > 0) parts.push(modelsText(info.models));
  for (const nvs of info.nvs) parts.push(nvsText(nvs));
  return parts.join('\n\n');
}

function bootloaderText({ bootloader, security }: BoardInfo): string {
  if (bootloader === null) return dim(security.flashEncryption ? 'none, or encrypted' : 'none');
  const { offset, mode, size: flashSize, frequency, idf } = bootloader;
  const header = [mode, flashSize, frequency].map((value) => value ?? '?').join(', ');
  return `${hex(offset)}: ${header}${idf === null ? '' : `, ESP-IDF ${idf}`}`;
}

/** The fuses that lock the board, on one line. `board security` shows all of them. */
function fusesText({ security, fuses }: BoardInfo): string {
  const { secureBoot, flashEncryption, secureDownload } = security;
  const keys = fuses?.keys.filter(({ purpose }) => purpose !== 'user') ?? [];
  const locks = [
    secureBoot
      ? `secure boot${fuses?.secureBoot.version == null ? '' : ` v${fuses.secureBoot.version}`}`
      : null,
    flashEncryption ? 'flash encryption' : null,
    secureDownload ? 'secure download mode' : null,
    fuses?.jtag.pins === 'disabled' || fuses?.jtag.pins === 'soft' ? 'JTAG disabled' : null,
    keys.length > 0 ? `keys ${keys.map(({ block, purpose }) => `${block} ${purpose}`).join(', ')}` : null,
    fuses?.secureVersion ? `rollback version ${fuses.secureVersion}` : null,
  ].filter((lock) => lock !== null);
  return locks.length > 0 ? yellow(locks.join('; ')) : green('open: no secure boot, no encryption');
}

function appsText(apps: BoardInfo['apps'], lowestVersion: number): string {
  const rows = apps.map(
    ({ label, project, version, idf, built, elfSha256, boots, state: state_, secureVersion }) => [
      boots ? green('→') : '',
      label,
      project === null ? dim('no app') : project || dim('unnamed'),
      version,
      idf,
      built,
      elfSha256?.slice(0, 9) ?? null,
      secureVersion !== null && secureVersion < lowestVersion
        ? red(`${secureVersion}, below ${lowestVersion}`)
        : secureVersion,
      state_ === 'undefined' ? 'accepted' : state_,
    ],
  );
  return table(['', 'app', 'project', 'version', 'ESP-IDF', 'built', 'build', 'security', 'state'], rows);
}

function modelsText(models: BoardInfo['models']): string {
  const rows = models.map(({ label, name, version, selected }) => [
    selected ? green('→') : '',
    label,
    name === null ? dim('no model') : `${name}@${version}`,
  ]);
  return table(['', 'model slot', 'model'], rows);
}

function nvsText({ partition, encrypted, problem, pages, namespaces }: BoardInfo['nvs'][number]): string {
  const used = pages === null ? '' : `, ${pages.used} of ${plural(pages.total, 'page')} used`;
  const title = `${bold(partition)}${encrypted ? ' (encrypted)' : ''}${used}`;
  const rows = namespaces.flatMap(({ name, entries }) =>
    entries.length === 0
      ? [[name, dim('empty'), null, null, null]]
      : entries.map(({ key, type, bytes, value }) => [
          name,
          key,
          type,
          size(bytes),
          value === null ? dim('not shown') : cutShort(value, 40),
        ]),
  );
  const found = problem === null ? [] : [yellow(`! ${problem}`)];
  const listed = rows.length > 0 ? [table(['namespace', 'key', 'type', 'size', 'value'], rows)] : [];
  return [title, ...found, ...listed].join('\n');
}

/** A board's security state, its key blocks, and the checks of the profile. */
export function boardSecurityText(security: BoardSecurity): string {
  const { chip, mac, port, source, secureBoot, flashEncryption, jtag, keys, checks, profile, fits } =
    security;
  const known = (value: string | null) => value ?? dim('unknown');
  const yes = (value: boolean | null, word: string, otherwise: string) =>
    value === null ? dim('unknown') : value ? word : otherwise;
  const revoked = secureBoot.revoked.flatMap((is, key) => (is ? [key] : []));
  const permanent =
    flashEncryption.permanent === null
      ? ''
      : flashEncryption.permanent
        ? ', permanent'
        : ', can be turned off';
  const rows: [string, string][] = [
    ['chip', `${bold(chip)}${mac ? `  ${mac}` : ''}  ${dim(port)}`],
    ['secure boot', secureBoot.version === null ? 'off' : `version ${secureBoot.version}`],
    ['revoked keys', revoked.join(', ') || 'none'],
    ['flash encryption', flashEncryption.enabled ? `on${permanent}` : 'off'],
    ['JTAG on pins', jtag.pins === 'soft' ? 'disabled until a key enables it' : jtag.pins],
    ['JTAG over USB', jtag.usb ?? dim('unknown, or none')],
    ['download mode', security.download],
    ['loader encryption', yes(security.manualEncryption, 'possible', 'disabled')],
    [
      'direct boot',
      security.directBoot === null ? dim('unknown, or never') : security.directBoot ? 'possible' : 'disabled',
    ],
    ['rollback version', known(security.secureVersion === null ? null : String(security.secureVersion))],
    ['fits', fits.length > 0 ? green(fits.join(', ')) : yellow('neither development nor production')],
  ];
  if (source === 'rom')
    rows.push(['source', "the ROM's report: fuses cannot be read in secure download mode"]);
  const parts = [facts(rows)];
  if (keys.length > 0) parts.push(keysTable(keys));
  if (profile !== null) parts.push(checksTable(checks, profile));
  return parts.join('\n\n');
}

function keysTable(keys: BoardSecurity['keys']): string {
  const state = (value: boolean | null) => (value === null ? dim('unknown') : value ? 'protected' : 'open');
  const rows = keys.map(({ block, purpose, readProtected, writeProtected }) => [
    String(block),
    purpose,
    state(readProtected),
    state(writeProtected),
  ]);
  return table(['key block', 'purpose', 'reading', 'writing'], rows);
}

function checksTable(checks: BoardSecurity['checks'], profile: string): string {
  const rows = checks.map(({ check, ok, found, expected }) => [
    ok === true ? green('✓') : ok === null ? yellow('?') : red('✗'),
    check,
    found,
    expected,
  ]);
  const failed = checks.filter(({ ok }) => ok !== true).length;
  const told =
    failed === 0
      ? green(`The board matches the profile ${profile}.`)
      : red(
          `${failed} of ${plural(checks.length, 'check')} failed: the board does not match the profile ${profile}.`,
        );
  return `${table(['', profile, 'found', 'expected'], rows)}\n${told}`;
}

function flashText({ id, bytes }: BoardInfo['flash']): string {
  if (bytes !== null) return `${size(bytes)} (id ${id})`;
  return id === '000000' || id === 'ffffff' ? red(`no response (id ${id})`) : dim(`unknown size (id ${id})`);
}

function partitionsText(partitions: BoardInfo['partitions']): string {
  if (partitions === null) return dim('No partition table.');
  const rows = partitions.map(({ label, type, subtype, offset, size: bytes, problem }) => [
    label,
    type,
    subtype,
    hex(offset),
    size(bytes),
    problem === null ? '' : red(problem),
  ]);
  return table(['partition', 'type', 'subtype', 'offset', 'size', ''], rows);
}

export function boardReadText({ bytes, offset, out, seconds, chip, mac, port, md5 }: BoardRead): string {
  return `${size(bytes)} from ${hex(offset)} of ${bold(`${chip} ${mac}`)} at ${port} → ${out} in ${elapsed(seconds * 1000)}; MD5 ${md5}`;
}

export function boardDumpedText(dumped: BoardDumped): string {
  const { resumed } = dumped;
  const before = resumed === 0 ? '' : `; ${size(resumed)} had been read before`;
  return `${boardReadText(dumped)}${before}`;
}

export function boardRunText({ chip, mac, port, started }: BoardRun): string {
  const state = started ? green('its program is running') : yellow('press RESET to start its program');
  return `${bold(`${chip} ${mac}`)} at ${port}: ${state}.`;
}

export function boardLoadedText({ bytes, segments, entry, chip, mac, port }: BoardLoaded): string {
  const what = `${size(bytes)} in ${plural(segments.length, 'segment')}`;
  return `Loaded ${what} into the RAM of ${bold(`${chip} ${mac}`)} at ${port}; started at ${hex(entry, 8)}.`;
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
  const forced = overridden.map((message) => `${yellow('! Overridden by --force:')} ${message}\n`).join('');
  return `${forced}Erased ${what} of ${bold(`${chip} ${mac}`)} at ${port} in ${elapsed(seconds * 1000)}.`;
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
  const told = equal ? green('matches') : red(`${different} of ${plural(regions.length, 'file')} different`);
  return `${table(['offset', 'file', 'size', '', 'md5'], rows)}\n${bold(`${chip} ${mac}`)} at ${port}: ${told}, in ${elapsed(seconds * 1000)}.`;
}

type Result = Flashed | Boards | Planned | DriveFlashed | ProductionFlashed;

/** Text of the result of `aiot flash`. */
export function flashedText(result: Result): string {
  if ('boards' in result) return boardsText(result);
  if ('drive' in result) return driveText(result);
  if ('steps' in result) return productionText(result);
  if (!('port' in result)) return plannedText(result);
  const { chip, mac, port, regions, seconds } = result;
  const all = regions.length === 0 ? 'switched' : stateOf(result);
  return [
    ...(regions.length > 0 ? [regionTable(regions)] : []),
    ...noted(result),
    ...switchedLines(result),
    `${bold(`${chip} ${mac}`)} at ${port}: ${green(all)} in ${elapsed(seconds * 1000)}.`,
    ...programLines(result),
  ].join('\n');
}

function productionText(result: ProductionFlashed): string {
  const { regions } = result;
  const rows = regions.map(({ offset, name, bytes, skipped, encrypted }) => [
    ...[hex(offset), name, size(bytes), skipped ? dim('unchanged') : green('written')],
    encrypted ? 'encrypted' : '',
  ]);
  return [
    ...(rows.length > 0 ? [table(['offset', 'file', 'size', '', ''], rows)] : []),
    boardLockedText(result),
  ].join('\n');
}

/** Fuses that lock a board. */
export function boardLockedText({
  port,
  chip,
  mac,
  steps,
  burned,
  complete,
  encryptionKey,
  problem,
  warnings,
}: BoardLocked) {
  const rows = steps.map(({ fuse, value, reason, lost, done }, index) => [
    ...[index + 1, fuse, value.length > 20 ? `${value.slice(0, 16)}…` : value],
    ...[done ? green('burned') : yellow('to do'), reason, lost],
  ]);
  const left = steps.filter(({ done }) => !done).length;
  const state = complete
    ? green(burned === 0 ? 'already locked' : `locked: ${plural(burned, 'fuse')} burned`)
    : yellow(`${plural(left, 'fuse')} to burn; nothing was burned`);
  return [
    ...(rows.length > 0 ? [table(['', 'fuse', 'value', '', 'effect', 'permanently lost'], rows)] : []),
    ...(encryptionKey === null ? [] : [`Flash encryption key: ${encryptionKey}`]),
    ...(problem === null ? [] : [`${red('!')} ${problem}`]),
    ...warnings.map((text) => `${yellow('!')} ${text}`),
    `${bold(`${chip} ${mac}`.trim())} at ${port}: ${state}.`,
    ...(complete ? [] : ['To burn them, repeat the command with --yes and --mac MAC.']),
  ].join('\n');
}

function driveText(result: DriveFlashed): string {
  const { drive, boardId, families, bytes, accepted, seconds, overridden } = result;
  const what = `${size(bytes)} for ${families.join(', ')}`;
  const outcome =
    accepted === null
      ? `${what} would be written`
      : `${green('written and started')}: ${what} in ${elapsed(seconds * 1000)}`;
  return [
    ...overridden.map((text) => yellow(`overridden: ${text}`)),
    `${bold(boardId)} at ${drive}: ${outcome}.`,
  ].join('\n');
}

/**
 * Lines about the program on the board. If there is no program, reports this, because the monitor would show
 * nothing.
 */
function programLines({ port, program, device, restarted, switched }: Flashed): string[] {
  const identity = device === null ? '' : `The identity of ${device} is on the chip. `;
  const reset = restarted ? [] : [yellow('Press RESET to start the program.')];
  switch (program) {
    case 'written':
      return reset;
    case 'unchanged':
      return switched ? reset : [`${identity}The program on the chip is unchanged.`, ...reset];
    case 'none':
      return [
        `${identity}${yellow('The chip has no program yet, so nothing runs on it.')}`,
        isSimulated(port)
          ? `A simulated chip stores the written data, but does not run it. To try the device without a board, run it as a virtual device with aiot device simulate ${device ?? 'NAME'} --recording FILE --loop, and deploy the model to it with aiot model deploy.`
          : noProgram,
      ];
    case null:
      return switched
        ? reset
        : [`${identity}No program was written; whether the chip has one could not be checked.`, ...reset];
  }
}

const noProgram =
  'Write one from a firmware folder. aiot firmware init creates such a folder, and aiot firmware build --target CHIP builds it with ESP-IDF or PlatformIO.';

const isSimulated = (port: string) => port.startsWith('simulated:');

function regionTable(regions: Flashed['regions']): string {
  const rows = regions.map(({ name, offset, bytes, skipped, written, md5 }) => [
    hex(offset),
    name,
    size(bytes),
    skipped ? 'unchanged' : written < bytes ? `${size(written)} written` : 'written',
    md5,
  ]);
  return table(['offset', 'what', 'size', '', 'md5'], rows);
}

function plannedText({ chip, regions, ...notes }: Planned): string {
  const rows = regions.map(({ name, offset, bytes, md5 }) => [hex(offset), name, size(bytes), md5]);
  return [
    table(['offset', 'what', 'size', 'md5'], rows),
    ...noted(notes),
    `Would write to an ${bold(chip)}; no port was opened.`,
  ].join('\n');
}

function noted({ warnings, overridden }: Pick<Flashed, 'warnings' | 'overridden'>): string[] {
  return [
    ...warnings.map((warning) => `${yellow('!')} ${warning}`),
    ...overridden.map(({ message }) => `${yellow('! Overridden by --force:')} ${message}`),
  ];
}

function switchedLines({ switched, program }: Flashed): string[] {
  if (!switched) return [];
  const { slot, before, healthy, restored, reason } = switched;
  if (restored)
    return [
      `${red('✗')} ${slot} did not become healthy; the board was rolled back${toPrevious(before)}: ${reason}`,
    ];
  if (healthy === false)
    return [
      `${red('✗')} ${slot} did not become healthy, and the board was NOT rolled back${toPrevious(before)}: ${reason}`,
    ];
  const from = before === null || before === slot ? '' : ` instead of ${before}`;
  const well = healthy ? `; ${reason}` : '';
  // Only models can be written to a board without a program.
  if (program === 'none') {
    const old = before === null ? '' : ` The previous one is still in ${before}.`;
    return [
      `${green('✓')} The model is in the slot ${bold(slot)}. Nothing uses it until the board has a program.${old}`,
    ];
  }
  return [`${green('✓')} The board now uses ${bold(slot)}${from}${well}.`];
}

function boardsText({ boards, ok, failed, seconds }: Boards): string {
  const rows = boards.map(({ port, mac, chip, device, board, error, attempts, seconds: own }) => [
    port,
    mac,
    chip,
    board?.device ?? device,
    board && !error ? green(stateOf(board)) : red(error?.code ?? 'failed'),
    attempts,
    elapsed(own * 1000),
  ]);
  const reasons = boards.flatMap(({ port, error }) =>
    error ? [`${red('✗')} ${port}: ${error.message}\n  Try: ${error.next}`] : [],
  );
  const notes = [...new Set(boards.flatMap(({ board }) => (board ? noted(board) : [])))];
  const empty = boards.filter(({ board }) => board?.program === 'none').length;
  return [
    table(['port', 'mac', 'chip', 'device', '', 'attempts', 'time'], rows),
    ...notes,
    ...reasons,
    `${bold(String(ok))} of ${ok + failed} boards done in ${elapsed(seconds * 1000)}.`,
    ...(empty === 0 ? [] : [yellow(`${plural(empty, 'board')} without a program. ${noProgram}`)]),
  ].join('\n');
}

function stateOf({ regions, verified }: Flashed): string {
  if (regions.every(({ skipped }) => skipped)) return 'unchanged';
  return verified ? 'verified' : 'written';
}

/** The exit code of `aiot flash`, and an error that is shown to people after the result. */
export function flashExit(result: Result): { code: 0 | 1 | 3; error: AiotError | null } {
  if ('boards' in result) {
    const { ok, failed } = result;
    if (failed === 0) return { code: 0, error: null };
    return { code: ok > 0 ? 3 : 1, error: null };
  }
  const error = 'switched' in result ? unhealthy(result) : null;
  return { code: error ? 1 : 0, error };
}

/** Suggested next command. */
export function flashNext(result: Result): string {
  if ('boards' in result) return next('aiot device list');
  if (!('port' in result)) return next('aiot board ports');
  if ('steps' in result)
    return next(`aiot board security --profile production --port ${shellWord(result.port)}`);
  const at = ` --port ${shellWord(result.port)}`;
  if (result.program === 'none') {
    if (isSimulated(result.port)) return next(`aiot board info${at}`, 'aiot device list');
    const isTarget = firmwareTargets.some((target) => target === result.chip);
    const build = `aiot firmware build FIRMWARE_DIR --target ${isTarget ? result.chip : 'CHIP'}`;
    return next(build, `aiot flash --project FIRMWARE_DIR${at}`, 'aiot docs firmware');
  }
  return next(`aiot board monitor${at}`, ...(result.device === null ? [] : ['aiot device list']));
}

/** The images in the slots of a board with MCUboot. */
export function boardImagesText({ port, images }: BoardImages): string {
  const rows = images.map((image) => [
    image.image,
    image.slot,
    image.version,
    image.hash === null ? '-' : image.hash.slice(0, 16),
    imageStates(image).join(', '),
  ]);
  return `${bold(port)}\n${table(['image', 'slot', 'version', 'hash', 'state'], rows, 'No slot contains an image.')}`;
}

function imageStates(image: BoardImages['images'][number]): string[] {
  const { active, confirmed, pending, permanent, bootable } = image;
  return [
    active ? 'running' : '',
    active && !confirmed ? yellow('on trial: confirm it, or a reset reverts it') : '',
    active && confirmed ? 'confirmed' : '',
    !active && confirmed ? 'returns unless the running image is confirmed' : '',
    pending ? (permanent ? 'starts permanently at the next reset' : 'is tested at the next reset') : '',
    bootable ? '' : 'not bootable',
  ].filter(Boolean);
}

export function uploadedImageText({ port, version, bytes, resumedAt }: UploadedImage): string {
  const resumed = resumedAt === 0 ? '' : `, resumed at ${size(resumedAt)}`;
  return `Uploaded version ${bold(version)} to ${port}: ${size(bytes)}${resumed}`;
}

export function installedImageText({ port, outcome, before, version }: InstalledImage): string {
  const told = {
    installed: green(`runs and is confirmed; previous version: ${before ?? 'unknown'}`),
    'on-trial': yellow('runs on trial: confirm it, or the next reset reverts it'),
    'already-running': 'was already running',
  };
  return `${bold(port)}: version ${version} ${told[outcome]}`;
}

export function boardStatisticsText(
  groups: readonly { name: string; fields: Record<string, number> }[],
): string {
  const rows = groups.flatMap(({ name, fields }) =>
    Object.entries(fields).map(([field, value]) => [name, field, value]),
  );
  return table(['group', 'field', 'value'], rows, 'The board has no statistics.');
}
