import { stat } from 'node:fs/promises';
import { withClient } from '../../api/context.js';
import { fetchFirmware } from '../../api/firmware/fetch.js';
import { resolveModel } from '../../api/reference.js';
import { AiotError } from '../../core/errors.js';
import { thousands } from '../../core/figures.js';
import { readBytes } from '../../core/files.js';
import { shellWord } from '../../core/text.js';
import { readEspImage } from '../../formats/esp-image/read.js';
import type { Envelope } from '../../formats/manifest/envelope.js';
import { blankOtadata } from '../../formats/otadata.js';
import type { Partition, PartitionTable } from '../../formats/partitions.js';
import { modelMemoryOf } from '../../model/bundle/board-memory.js';
import { deviceNeed } from '../../model/bundle/device-memory.js';
import { unpackBundle } from '../../model/bundle/pack.js';
import { withBoard } from '../board.js';
import { modelSlotsIn, readModel } from '../board-info.js';
import type { Loader, Region } from '../loader/types.js';
import { parsePattern } from '../monitor/pattern.js';
import { looksLike } from '../plan/pieces.js';
import { planWrite, readBoardTable } from '../plan/plan.js';
import type { Objection } from '../plan/types.js';
import {
  type AppSlots,
  changedOtadata,
  chooseSlot,
  readAppSlots,
  slotNamed,
  startSlot,
  writeOtadata,
} from './app-slots.js';
import {
  changedPages,
  committedNumbers,
  nvsValue,
  readBoardNvs,
  readIdentityNvs,
  requireFirmwareAccepted,
  requireModelAccepted,
} from './board-nvs.js';
import {
  boardFor,
  boardOf,
  type FlashBoardOptions,
  programOn,
  restarts,
  secondsSince,
  versionsOf,
  writeRegions,
} from './flash-board.js';
import type { Flashed, Switched } from './result.js';
import type { FlashRequest } from './run-flash.js';
import {
  type JudgeOptions,
  judgeSwitched,
  recordPendingSwitch,
  settlePendingSwitch,
  watchBoard,
} from './update-watch.js';

/** Prepares an update over the cable: an app or a model for the slot that is not in use. @throws AIOT_USAGE and errors of fetching */
export async function prepareUpdate(
  request: FlashRequest,
): Promise<(how: FlashBoardOptions) => Promise<Flashed>> {
  refuseOthers(request);
  const watchAt = watchOf(request);
  const { firmware, model, slot = 'next', verify, force } = request;
  if (model !== undefined) {
    const image = await modelOf(model, request.context);
    return (how) => flashModel({ image, verify, force }, { ...how, watch: watchAt?.(how.ask) });
  }
  if (firmware === undefined && slot === 'next') {
    throw new AiotError('AIOT_USAGE', 'expected firmware or a model for the slot', {
      next: 'aiot flash --slot next --firmware app.bin, or --firmware NAME@VERSION',
    });
  }
  const image = firmware === undefined ? null : await firmwareOf(firmware, request.context);
  return (how) => flashSlot({ image, slot, verify, force }, { ...how, watch: watchAt?.(how.ask) });
}

/** Reads the firmware from an existing file, or fetches a version of it from the registry. */
async function firmwareOf(text: string, context: string | undefined): Promise<NonNullable<SlotJob['image']>> {
  if (await namesFile(text)) return { name: text, data: await readBytes(text) };
  return await withClient(context, async (client) => {
    const { card, bytes, envelope } = await fetchFirmware(client, text);
    return { name: `${card.name}@${card.version}`, data: bytes, envelope };
  });
}

/** Reads a signed model bundle from an existing file, or fetches a version of it from the registry. */
async function modelOf(
  text: string,
  context: string | undefined,
): Promise<{ name: string; data: Uint8Array }> {
  if (await namesFile(text)) return { name: text, data: await readBytes(text) };
  const { fetchModel } = await import('../../model/publish/pull.js');
  return await withClient(context, async (client) => {
    const version = await resolveModel(client, text);
    const { bytes } = await fetchModel(client, version, null);
    return { name: `${version.name}@${version.version}`, data: bytes };
  });
}

/** Whether the text is the name of a file: a path that exists, or any text that does not have the form of a version. */
async function namesFile(text: string): Promise<boolean> {
  const isVersion = /^[\w.-]+@\w+$/.test(text);
  return !isVersion || (await stat(text).catch(() => null)) !== null;
}

function watchOf({ watch, loader }: FlashRequest) {
  if (!watch) return undefined;
  const { timeoutMs } = watch;
  const pattern = watch.pattern === null ? null : parsePattern(watch.pattern);
  return (ask: FlashBoardOptions['ask']) => (port: string) =>
    watchBoard(port, { timeoutMs, pattern, signal: loader.signal, ask });
}

/** Rejects flags that would change anything in flash other than a slot and its selection. @throws AIOT_USAGE */
function refuseOthers({
  images,
  project,
  device,
  erase,
  diffWith,
  header,
  dryRun,
  ...request
}: FlashRequest): void {
  const others: [boolean, string][] = [
    [images.length > 0, 'images'],
    [project !== null, '--project'],
    [device !== undefined, '--device'],
    [erase, '--erase'],
    [diffWith.length > 0, '--diff-with'],
    [
      Object.values(header).some((value) => value !== undefined),
      '--flash-mode, --flash-size and --flash-freq',
    ],
    [dryRun, '--dry-run'],
    [request.model !== undefined && request.firmware !== undefined, '--firmware'],
    [request.model !== undefined && request.slot !== undefined, '--slot'],
  ];
  if (request.model !== undefined && device !== undefined) {
    const at = request.ports.map((port) => ` --port ${shellWord(port)}`).join('');
    throw new AiotError('AIOT_USAGE', '--model cannot be combined with --device', {
      next: `Write the identity first, with \`aiot flash --device ${shellWord(device)}${at}\`. Then write the model, with \`aiot flash --model ${shellWord(request.model)}${at}\`.`,
    });
  }
  const what = request.model !== undefined ? '--model' : '--slot';
  const found = others.find(([given]) => given);
  if (found) throw new AiotError('AIOT_USAGE', `${what} cannot be combined with ${found[1]}`);
}

/** An update over the cable. */
export interface SlotJob {
  /**
   * The app to write; null = start the slot's current content. `envelope` belongs to a version from the registry, and is checked against
   * the board's identity.
   */
  image: { name: string; data: Uint8Array; envelope?: Envelope } | null;
  /** The slot to write: `next`, or a slot's label. */
  slot: string;
  verify: boolean;
  force: boolean;
}

export type SlotOptions = JudgeOptions;

interface SlotWritten {
  flashed: Omit<Flashed, 'port' | 'seconds' | 'switched'>;
  slots: AppSlots;
  /** Label of the slot that is currently started. */
  slot: string;
  otadata: Uint8Array;
  canReset: boolean;
}

/**
 * Writes an app to a slot that is not running, verifies it, and makes the bootloader start it. With a watch, a board that does not start
 * properly is restored to its previous app.
 * @throws AIOT_FLASH_NO_SLOT, AIOT_FLASH_REFUSED, AIOT_IMAGE_MALFORMED before anything is written
 */
export async function flashSlot(job: SlotJob, options: SlotOptions): Promise<Flashed> {
  const { port } = options;
  const started = performance.now();
  if (job.image) readEspImage(job.image.data, job.image.name);
  const { flashed, ...state } = await withBoard(options, async (loader) => {
    options.connected?.(loader.chip);
    return await writeSlot(loader, job, options);
  });
  const { slots, slot, otadata, canReset } = state;
  const before = slots.running.label;
  const back = `aiot flash --slot ${before}`;
  const switched: Switched = { slot, before, healthy: null, restored: false, reason: null, back };
  const restore = (loader: Loader) => writeOtadata(loader, slots.otadata, otadata, slots.bytes);
  await judgeSwitched(switched, { mac: flashed.mac, kind: 'app', canReset, restore }, options);
  return { port, ...flashed, switched, seconds: secondsSince(started) };
}

async function writeSlot(loader: Loader, job: SlotJob, options: SlotOptions): Promise<SlotWritten> {
  const { image, slot: wanted, verify, force } = job;
  const table = await requireTable(loader);
  // A pending switch is settled before the current selection, which determines the next slot, is read.
  const settled = await settlePendingSwitch(loader, 'app');
  const slots = await readAppSlots(loader, table);
  if (image === null) return await startOnly(loader, { slots, wanted, force, settled }, options);
  const index = chooseSlot(slots, wanted, force);
  const released = await requireReleased(loader, table, image, force);
  const slot = slots.slots[index]!;
  const plan = planWrite({
    pieces: [{ name: image.name, data: image.data, place: slot.offset }],
    board: await boardFor(loader, [image]),
    boardTable: table,
    header: {},
    erase: false,
    force,
  });
  const regions = await writeRegions(loader, plan.regions, { erase: false, verify, old: new Map() });
  const [done] = regions;
  if (options.watch && done) {
    const choice = changedOtadata(slots, index);
    const about = { slot: slot.label, before: slots.running.label, image: done, choice };
    await recordPendingSwitch({ mac: loader.chip.mac, kind: 'app' }, about);
  }
  const otadata = await startSlot(loader, slots, index);
  const flashed = {
    ...flashedOf(loader, options, 'written'),
    regions,
    versions: versionsOf(plan.regions),
    warnings: settled === null ? plan.warnings : [...plan.warnings, settled],
    overridden: [...released, ...plan.overridden],
  };
  return { flashed, slots, slot: slot.label, otadata, canReset: loader.canReset };
}

function flashedOf(loader: Loader, options: SlotOptions, program: 'written' | 'unchanged') {
  const { chip, mac, flash, security } = loader.chip;
  return {
    ...{ chip, mac, flashBytes: flash.bytes, erased: false },
    verified: !security.secureDownload,
    restarted: restarts(loader, options),
    program,
    device: null,
    certificate: null,
  };
}

/** Starts a slot that already contains its app, as in a manual rollback. */
async function startOnly(
  loader: Loader,
  {
    slots,
    wanted,
    force,
    settled,
  }: { slots: AppSlots; wanted: string; force: boolean; settled: string | null },
  options: SlotOptions,
): Promise<SlotWritten> {
  const { label, otadata } = await startExistingApp(loader, slots, { wanted, force });
  const flashed = {
    ...flashedOf(loader, options, 'unchanged'),
    ...{ regions: [], versions: [], warnings: settled === null ? [] : [settled], overridden: [] },
  };
  return { flashed, slots, slot: label, otadata, canReset: loader.canReset };
}

/**
 * Checks that the release is for this board. Returns the objections overridden by `force`. @throws AIOT_SIGNATURE_INVALID,
 * AIOT_UPDATE_DEVICE_TYPE
 */
async function requireReleased(
  loader: Loader,
  table: PartitionTable,
  { name, envelope }: NonNullable<SlotJob['image']>,
  force: boolean,
): Promise<Objection[]> {
  if (!envelope) return [];
  const nvs = await readIdentityNvs(loader, table);
  return requireFirmwareAccepted({ name, envelope }, { nvs, chip: loader.chip.chip, force });
}

/** The board's partition table. @throws AIOT_FLASH_NO_SLOT */
async function requireTable(loader: Loader): Promise<PartitionTable> {
  const table = loader.chip.security.secureDownload ? null : await readBoardTable(loader);
  if (table) return table;
  throw new AiotError('AIOT_FLASH_NO_SLOT', 'the board has no readable partition table, so it has no slots', {
    next: 'Write an identity first, which includes a table: `aiot flash --device NAME`. To write a program too, add `--project FIRMWARE_DIR`.',
  });
}

/** Number of bytes at the start of an image that are sufficient to recognize a program. */
const headBytes = 512;

/**
 * Makes the bootloader start an app that is already on the board. The factory app is started if otadata is blank.
 * @throws AIOT_USAGE (no such slot), AIOT_FLASH_REFUSED (the slot has no program for this chip), unless `force`
 */
async function startExistingApp(
  loader: Loader,
  slots: AppSlots,
  { wanted, force }: { wanted: string; force: boolean },
): Promise<{ label: string; otadata: Uint8Array }> {
  const { factory, running, bytes } = slots;
  const index = factory?.label === wanted ? null : slotNamed(slots, wanted);
  const slot = index === null ? factory! : slots.slots[index]!;
  const { chip, security } = loader.chip;
  if (!security.flashEncryption && !force) {
    const looks = looksLike(await loader.read(slot.offset, headBytes));
    if (looks?.chip !== chip) {
      throw new AiotError('AIOT_FLASH_REFUSED', `${slot.label} contains no program for this chip`, {
        next: `Write a program to it with \`aiot flash --slot ${slot.label} --firmware app.bin\`.`,
      });
    }
  }
  const { label } = slot;
  if (slot === running) return { label, otadata: bytes };
  if (index !== null) return { label, otadata: await startSlot(loader, slots, index) };
  const otadata = blankOtadata();
  await writeOtadata(loader, slots.otadata, bytes, otadata);
  return { label, otadata };
}

/** A model for the slot that is not in use. */
interface ModelJob {
  /** A signed bundle (.aiot). */
  image: { name: string; data: Uint8Array };
  verify: boolean;
  force: boolean;
}

const choice = { namespace: 'aiot', key: 'model_slot' };

interface Written {
  flashed: Omit<Flashed, 'port' | 'seconds' | 'switched'>;
  slot: string;
  /** The slot of the previous model; null = the board had none. */
  before: string | null;
  /** The changed pages of NVS, before the change. */
  old: Region[];
  canReset: boolean;
}

/**
 * Writes a signed bundle to the model slot that is not in use, after the checks that the board itself would make. The bundle must be
 * signed by a key in the board's trust root, made for the board's type, and newer than its current release. Afterwards, the slot is
 * recorded in NVS, and the release is recorded as committed. If a watch finds the board unhealthy, everything is restored.
 * @throws AIOT_FLASH_NO_SLOT, AIOT_SIGNATURE_INVALID, AIOT_BUNDLE_…, AIOT_UPDATE_… before anything is written
 */
export async function flashModel(job: ModelJob, options: SlotOptions): Promise<Flashed> {
  const { port } = options;
  const started = performance.now();
  const { flashed, slot, before, old, canReset } = await withBoard(options, async (loader) => {
    options.connected?.(loader.chip);
    return await writeModel(loader, job, options);
  });
  const switched: Switched = { slot, before, healthy: null, restored: false, reason: null, back: null };
  const restore = (loader: Loader) => writePages(loader, old);
  await judgeSwitched(switched, { mac: flashed.mac, kind: 'model', canReset, restore }, options);
  return { port, ...flashed, switched, seconds: secondsSince(started) };
}

async function writeModel(loader: Loader, job: ModelJob, options: SlotOptions): Promise<Written> {
  const table = await requireTable(loader);
  const slots = modelSlots(table);
  const settled = await settlePendingSwitch(loader, 'model');
  const nvs = await readBoardNvs(loader, table);
  const { manifest, overridden } = await requireModelAccepted(job.image, nvs, job.force);
  const now = nvsValue(nvs, 'u8', choice.namespace, choice.key) ?? 0;
  const target = now === 0 ? 1 : 0;
  // The slot is written first. If the command is interrupted afterward, it can be repeated, because the release is still considered new.
  const pages = changedPages(nvs, [
    { type: 'u8', ...choice, value: BigInt(target) },
    ...committedNumbers(nvs, manifest),
  ]);
  const plan = planWrite({
    pieces: [{ ...job.image, place: slots[target]!.offset }],
    board: boardOf(loader),
    boardTable: table,
    header: {},
    erase: false,
    force: job.force,
  });
  const regions = await writeRegions(loader, plan.regions, {
    erase: false,
    verify: job.verify,
    old: new Map(),
  });
  const held = slots[now] ?? slots[0];
  const { chip, mac, flash, security } = loader.chip;
  const hadModel = security.flashEncryption || (await readModel(loader, held)) !== null;
  if (options.watch && regions[0]) {
    const choice = pages.map(({ wanted: { name, offset, data }, now }) => ({
      ...{ name, offset },
      ...{ before: now.data, now: data },
    }));
    const about = { slot: slots[target]!.label, before: held.label, image: regions[0], choice };
    await recordPendingSwitch({ mac: loader.chip.mac, kind: 'model' }, about);
  }
  await writePages(
    loader,
    pages.map(({ wanted }) => wanted),
  );
  const flashed = {
    ...{ chip, mac, flashBytes: flash.bytes, erased: false, regions },
    verified: true,
    restarted: restarts(loader, options),
    // A bundle is not a program, so the state of the board's own program is reported.
    program: await programOn(loader, plan.regions, { table, erase: false }),
    device: nvsValue(nvs, 'string', 'aiot', 'name'),
    certificate: null,
    versions: [`${manifest.name}@${manifest.version}`],
    warnings: [...plan.warnings, ...(settled === null ? [] : [settled]), ...shortText(job.image.data, chip)],
    overridden: [...overridden, ...plan.overridden],
  };
  return {
    flashed,
    slot: slots[target]!.label,
    before: hadModel ? held.label : null,
    old: pages.map(({ now }) => now),
    canReset: loader.canReset,
  };
}

/** A warning if the default firmware of the chip has too little memory for the model. */
function shortText(bundle: Uint8Array, chip: string): string[] {
  const { active } = deviceNeed(unpackBundle(bundle));
  const memory = modelMemoryOf(chip);
  if (memory === null || active <= memory) return [];
  return [
    `The default firmware for ${chip} has ${thousands(memory)} bytes of memory for models, but this model needs at least ${thousands(active)}. It runs only on firmware with a larger AIOT_MEMORY_BYTES; or use a shorter signal.window.`,
  ];
}

/** The two model slots in a table. @throws AIOT_FLASH_NO_SLOT */
function modelSlots(table: PartitionTable): [Partition, Partition] {
  const [first, second] = modelSlotsIn(table);
  if (first && second) return [first, second];
  throw new AiotError('AIOT_FLASH_NO_SLOT', "the board's partition table does not have two model slots", {
    next: 'Provision the board with a table that has them, such as the one in `aiot docs nvs`: `aiot device provision NAME --port PORT --partitions FILE.csv`.',
  });
}

/**
 * Writes pages of NVS. Their sectors contain part of the identity, so they are verified, and the loader rewrites them after noise on the
 * line.
 */
async function writePages(loader: Loader, pages: readonly Region[]): Promise<void> {
  await loader.write(pages, { skipEqual: true });
}
