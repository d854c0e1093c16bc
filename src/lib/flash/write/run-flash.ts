import { stat } from 'node:fs/promises';
import { AiotError } from '../../core/errors.js';
import { readBytes, refuseInputs, writeFileAtomic } from '../../core/files.js';
import { systemClock } from '../../core/time.js';
import type { ChipName } from '../../formats/esp-image/chips.js';
import { withClient } from '../../registry/context.js';
import { fetchFirmware } from '../../registry/firmware/fetch.js';
import { resolveModel } from '../../registry/reference.js';
import type { ChipInfo, LoaderOptions } from '../loader/types.js';
import { md5Of } from '../md5.js';
import { parsePattern } from '../monitor/pattern.js';
import { looksLike } from '../plan/looks.js';
import { piecesOf, projectImages } from '../plan/pieces.js';
import { parsePlaced } from '../plan/place.js';
import { planWrite } from '../plan/plan.js';
import { joinSectors } from '../plan/sectors.js';
import type { HeaderChanges, Piece } from '../plan/types.js';
import { boardPorts, choosePort } from '../port/list.js';
import { type FlashBoardOptions, type FlashJob, flashBoard } from './flash-board.js';
import { type BoardRow, flashBoards, flashPort } from './flash-boards.js';
import { flashModel } from './flash-model.js';
import { flashSlot, type SlotJob } from './flash-slot.js';
import { assignIdentities, type DeviceIdentity, readIdentities } from './identity.js';
import { openRecord, productionPage, type RecordRow, rowOf } from './production.js';
import type { BoardOutcome, Boards, Flashed, Planned } from './result.js';
import { watchBoard } from './update-watch.js';

/** What somebody asks for, as the command line has it. */
export interface FlashRequest {
  /** `FILE@OFFSET`; HEX and UF2 files hold their addresses. */
  images: readonly string[];
  /** Folder of a built project whose images are written; null = none. */
  project: string | null;
  /** Folder of a device's identity, or for many boards of several. */
  device: string | undefined;
  /** App slot for `firmware`: `next` or a label. */
  slot: string | undefined;
  /** File, or NAME@VERSION of the platform's registry. */
  firmware: string | undefined;
  /** The same of a model. */
  model: string | undefined;
  /** Judge the restarted board, and set it back when it is not well. */
  watch: { timeoutMs: number; pattern: string | null } | null;
  /** None: the only board here. */
  ports: readonly string[];
  /** Every port at which a board can be expected. */
  all: boolean;
  jobs: number;
  /** undefined: none for one board, two for many. */
  retries: number | undefined;
  loader: LoaderOptions;
  header: HeaderChanges;
  /** `OLD.bin` or `OLD.bin@OFFSET`. */
  diffWith: readonly string[];
  erase: boolean;
  verify: boolean;
  force: boolean;
  dryRun: boolean;
  /** File of the production record. */
  record: string | undefined;
  /** HTML file to write, of the record or of this run. */
  report?: string | undefined;
  /** Platform that NAME@VERSION is fetched from. */
  context: string | undefined;
}

/**
 * Does what `aiot flash` was asked for: one board, many, or none (`dryRun`). Files are read, and what can be refused without
 * a board is refused, before a port is opened.
 * @param row told of each change of a board
 * @param ask told what only hands can do at a board: press RESET, hold BOOT
 */
export async function runFlash(
  request: FlashRequest,
  row: (row: BoardRow) => void = () => {},
  ask: (text: string) => void = () => {},
): Promise<Flashed | Boards | Planned> {
  if (request.report !== undefined && request.dryRun)
    throw new AiotError('AIOT_USAGE', '--report tells of boards, and --dry-run writes none');
  const record = request.record === undefined ? null : await openRecord(request.record, systemClock.now);
  await refuseInputs([request.report], [request.record]);
  const flash = await prepareFlash(request, record?.rows() ?? []);
  if (typeof flash !== 'function') return flash;
  const outcomes: { outcome: BoardOutcome; at: number }[] = [];
  try {
    return await flashAll(request, flash, { row, ask }, async (outcome) => {
      outcomes.push({ outcome, at: systemClock.now() });
      await record?.add(outcome);
    });
  } finally {
    // Also of boards that failed: those are what the page is read for.
    if (request.report !== undefined) {
      const rows = record?.rows() ?? outcomes.map(({ outcome, at }) => rowOf(outcome, at));
      const production = {
        rows,
        outcomes: outcomes.map(({ outcome }) => outcome),
        record: request.record ?? null,
      };
      await writeFileAtomic(request.report, productionPage(production));
    }
  }
}

type Flash = (how: FlashBoardOptions) => Promise<Flashed>;

async function flashAll(
  request: FlashRequest,
  flash: Flash,
  told: { row: (row: BoardRow) => void; ask: (text: string) => void },
  finished: (outcome: BoardOutcome) => Promise<void>,
): Promise<Flashed | Boards> {
  const { loader } = request;
  const common = { loader, flash, ...told, finished };
  const ports = await portsOf(request);
  const [only, ...more] = ports;
  if (only !== undefined && more.length === 0 && !request.all) {
    const { outcome, error } = await flashPort(only, { ...common, retries: request.retries ?? 0 });
    if (error) throw error;
    return outcome.board!;
  }
  return await flashBoards({ ...common, ports, jobs: request.jobs, retries: request.retries ?? 2 });
}

async function prepareFlash(
  request: FlashRequest,
  rows: Parameters<typeof prepareJob>[1],
): Promise<Flash | Planned> {
  const { slot, firmware, model, dryRun } = request;
  if (slot !== undefined || firmware !== undefined || model !== undefined)
    return await prepareUpdate(request);
  const job = await prepareJob(request, rows);
  if (dryRun) return planOffline(job, request.loader.chip);
  return (how) => flashBoard(job, how);
}

async function portsOf({ ports, all }: FlashRequest): Promise<readonly string[]> {
  const twice = ports.find((port, i) => ports.indexOf(port) !== i);
  if (twice !== undefined) throw new AiotError('AIOT_USAGE', `${twice} is named twice`);
  if (all && ports.length > 0) throw new AiotError('AIOT_USAGE', '--all does not go with --port');
  if (all) return (await boardPorts()).map(({ path }) => path);
  return ports.length > 0 ? ports : [await choosePort()];
}

/** Asked once for each board. */
interface JobFor {
  (board: Pick<ChipInfo, 'chip' | 'mac'>): FlashJob;
  /** What it is all for, as identities and images tell; null = none of them does. */
  chip: ChipName | null;
}

/** Reads all files before any port is opened. */
export async function prepareJob(request: FlashRequest, record: readonly RecordRow[]): Promise<JobFor> {
  const { images, project, device, header, erase, verify, force } = request;
  const pieces: Piece[] = await piecesOf(images);
  if (project !== null) pieces.push(...(await projectImages(project)).pieces);
  const { identities, skipped } =
    device === undefined ? { identities: [], skipped: [] } : await readIdentities(device);
  const old = await oldPieces(request.diffWith, pieces);
  if (pieces.length === 0 && identities.length === 0) throw nothingToWrite();
  joinSectors(
    pieces.flatMap(({ place, ...piece }) => (typeof place === 'number' ? [{ ...piece, offset: place }] : [])),
  );
  const single = identities[0]?.folder === device;
  const assign = identities.length > 0 ? assignIdentities(identities, record, single) : () => null;
  const notes = skipped.map((folder) => `${folder} is left out: the identity of a computer, and of no chip`);
  const jobFor = (board: Pick<ChipInfo, 'chip' | 'mac'>): FlashJob => {
    const identity: DeviceIdentity | null = assign(board);
    const all = identity ? withIdentity(pieces, identity) : pieces;
    return { pieces: all, old, header, erase, verify, force, device: identity, notes };
  };
  return Object.assign(jobFor, { chip: chipOf(pieces, identities) });
}

/** Of the identities where all of them are for one chip, else of the images. */
function chipOf(pieces: readonly Piece[], identities: readonly DeviceIdentity[]): ChipName | null {
  const [first = null, ...others] = new Set(identities.flatMap(({ chip }) => chip ?? []));
  const [image = first] = pieces.flatMap(({ chip, data }) => chip ?? looksLike(data)?.chip ?? []);
  return others.length > 0 ? image : (first ?? image);
}

/** The identity's table counts: its NVS lies where that says. */
function withIdentity(pieces: readonly Piece[], identity: DeviceIdentity): Piece[] {
  const own = new Set(identity.pieces.map(({ place }) => place));
  return [
    ...pieces.filter(({ place }) => !own.has(place) && place !== 'partition-table'),
    ...identity.pieces,
  ];
}

async function oldPieces(words: readonly string[], pieces: readonly Piece[]): Promise<Piece[]> {
  const old: Piece[] = [];
  for (const word of words) {
    const { file, place } = parsePlaced(word);
    const [only, ...more] = pieces;
    if (place === null && (only === undefined || more.length > 0)) {
      throw new AiotError(
        'AIOT_USAGE',
        `--diff-with ${word}: expected where it is, since ${pieces.length} images are written`,
        {
          next: `--diff-with ${file}@0x10000`,
        },
      );
    }
    old.push(...(await piecesOf([place === null ? `${file}@${String(only?.place)}` : word])));
  }
  return old;
}

function nothingToWrite(): AiotError {
  return new AiotError('AIOT_USAGE', 'expected what is to be written', {
    next: 'aiot flash app.bin@0x10000, aiot flash --project DIR; aiot flash --help shows it all',
  });
}

/**
 * What would be written, without a board: for the chip named, else the one that identities and images are for. What a board alone can
 * tell (its flash's size, its fuses, its table) is not looked at.
 * @throws as `planWrite`; AIOT_USAGE when nothing says which chip
 */
function planOffline(jobFor: JobFor, wanted: ChipName | 'auto'): Planned {
  const chip = wanted === 'auto' ? jobFor.chip : wanted;
  if (chip === null) {
    throw new AiotError(
      'AIOT_USAGE',
      'expected --chip: nothing of what is written says which chip it is for',
    );
  }
  const { pieces, header, erase, force, device } = jobFor({ chip, mac: '' });
  const security = { secureBoot: false, flashEncryption: false, secureDownload: false };
  const board = { chip, flashBytes: null, security };
  const plan = planWrite({ pieces, board, boardTable: null, header, erase, force, device });
  const regions = plan.regions.map(({ name, offset, data }) => ({
    ...{ name, offset, bytes: data.length },
    md5: md5Of(data),
  }));
  return { chip, regions, warnings: plan.warnings, overridden: plan.overridden };
}

/** An update over the cable: an app, or a model, into the slot that is not in use. @throws AIOT_USAGE and what fetching throws */
async function prepareUpdate(request: FlashRequest): Promise<(how: FlashBoardOptions) => Promise<Flashed>> {
  refuseOthers(request);
  const watchAt = watchOf(request);
  const { firmware, model, slot = 'next', verify, force } = request;
  if (model !== undefined) {
    const image = await modelOf(model, request.context);
    return (how) => flashModel({ image, verify, force }, { ...how, watch: watchAt?.(how.ask) });
  }
  if (firmware === undefined && slot === 'next') {
    throw new AiotError('AIOT_USAGE', 'expected what goes into the slot', {
      next: 'aiot flash --slot next --firmware app.bin, or --firmware NAME@VERSION',
    });
  }
  const image = firmware === undefined ? null : await firmwareOf(firmware, request.context);
  return (how) => flashSlot({ image, slot, verify, force }, { ...how, watch: watchAt?.(how.ask) });
}

/** A file that is there, else a version of the registry. */
async function firmwareOf(text: string, context: string | undefined): Promise<NonNullable<SlotJob['image']>> {
  if (await namesFile(text)) return { name: text, data: await readBytes(text) };
  return await withClient(context, async (client) => {
    const { card, bytes, envelope } = await fetchFirmware(client, text);
    return { name: `${card.name}@${card.version}`, data: bytes, envelope };
  });
}

/** The same of a model: the signed bundle, as it is pulled. */
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

/** What is there is a file, and what is no version can only be one. */
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

/** An update touches a slot and what chooses it: nothing else of the flash. */
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
  const what = request.model !== undefined ? '--model' : '--slot';
  const found = others.find(([given]) => given);
  if (found) throw new AiotError('AIOT_USAGE', `${what} does not go with ${found[1]}`);
}
