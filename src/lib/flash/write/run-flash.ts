import { AiotError } from '../../core/errors.js';
import { machineFailure, refuseInputs, writeFileAtomic } from '../../core/files.js';
import { inParallel } from '../../core/tasks.js';
import { type Clock, systemClock } from '../../core/time.js';
import type { ChipName } from '../../formats/esp-image/chips.js';
import type { ChipInfo, LoaderOptions, LoaderProgress, Stage } from '../loader/types.js';
import { firmwareImages, looksLike, md5Of, parsePlaced, piecesOf } from '../plan/pieces.js';
import { joinSectors, planWrite } from '../plan/plan.js';
import type { HeaderChanges, Piece } from '../plan/types.js';
import { isFolder } from '../port/drives.js';
import { boardPorts, choosePort } from '../port/list.js';
import { type FlashBoardOptions, type FlashJob, flashBoard, secondsSince } from './flash-board.js';
import { type DriveFlashed, flashDrive, wantsDrive } from './flash-drive.js';
import type { LockAsked, ProductionFlashed } from './flash-production.js';
import { assignIdentities, type DeviceIdentity, readIdentities } from './identity.js';
import { openRecord, productionPage, type RecordRow, rowOf } from './production.js';
import { type BoardOutcome, type Boards, type Flashed, type Planned, unhealthy } from './result.js';

/** The request as given on the command line. */
export interface FlashRequest {
  /** Images to write: raw files as `FILE@OFFSET`. HEX and UF2 files contain their addresses. */
  images: readonly string[];
  /** Firmware folder whose build is written; null = none. */
  project: string | null;
  /** Folder of a device's identity; for many boards, a folder of several identities. */
  device: string | undefined;
  /** App slot for `firmware`: `next` or a label. */
  slot: string | undefined;
  /** Firmware file, or NAME@VERSION in the platform's registry. */
  firmware: string | undefined;
  /** Model bundle, or NAME@VERSION in the platform's registry. */
  model: string | undefined;
  /** Whether and how to check the restarted board, which is restored if it is unhealthy. */
  watch: { timeoutMs: number; pattern: string | null } | null;
  /** Ports of the boards; empty = the only board connected. */
  ports: readonly string[];
  /** Whether to use every port that may have a board. */
  all: boolean;
  jobs: number;
  /** Number of retries per port; undefined = 0 for one board, 2 for many. */
  retries: number | undefined;
  loader: LoaderOptions;
  header: HeaderChanges;
  /** Files with the boards' expected contents, each `OLD.bin` or `OLD.bin@OFFSET`. */
  diffWith: readonly string[];
  erase: boolean;
  verify: boolean;
  force: boolean;
  dryRun: boolean;
  /** Production record file. */
  record: string | undefined;
  /** HTML report to write, for the record or this run. */
  report?: string | undefined;
  /** Locks the board after writing; null = the board is not locked. */
  lock?: LockAsked | null | undefined;
  /** Platform for NAME@VERSION. */
  context: string | undefined;
}

/**
 * Executes `aiot flash` for one board, many, or none (`dryRun`). Before a port is opened, all files are read, and requests that are
 * invalid for every board are rejected.
 * @param row called for each change of a board
 * @param ask called for actions that only the user can do: press RESET, hold BOOT
 */
export async function runFlash(
  request: FlashRequest,
  row: (row: BoardRow) => void = () => {},
  ask: (text: string) => void = () => {},
): Promise<Flashed | Boards | Planned | DriveFlashed | ProductionFlashed> {
  if (request.lock) {
    const { flashProduction } = await import('./flash-production.js');
    return await flashProduction(request, request.lock, { row, ask });
  }
  const drive = await driveOf(request);
  if (drive !== undefined) return await flashDrive({ ...request, drive, signal: request.loader.signal });
  if (request.report !== undefined && request.dryRun)
    throw new AiotError('AIOT_USAGE', '--report cannot be combined with --dry-run, which writes to no board');
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
    // The report is also written after failures, because it exists to show failures.
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

/**
 * The drive that the request is for; null = the only one that accepts the file, undefined = the request is for ports.
 * @throws AIOT_USAGE for options that need a chip's loader
 */
async function driveOf(request: FlashRequest): Promise<string | null | undefined> {
  const { ports, images } = request;
  const folders = await Promise.all(ports.map(isFolder));
  const chosen = ports.length === 0 && !request.all && (await wantsDrive(images));
  if (!chosen && !folders.includes(true)) return undefined;
  if (ports.length > 1)
    throw new AiotError('AIOT_USAGE', `expected one drive, got ${ports.length} values of --port`);
  const { project, device, slot, firmware, model, record, report, erase, verify, watch } = request;
  const given = Object.entries({
    project,
    device,
    slot,
    firmware,
    model,
    record,
    report,
    erase,
    verify,
    watch,
  });
  const [unusable] =
    given.find(([, value]) => value !== undefined && value !== null && value !== false) ?? [];
  if (unusable !== undefined)
    throw new AiotError('AIOT_USAGE', `--${unusable} cannot be combined with the drive of a UF2 bootloader`, {
      next: 'Pass only the UF2 file, --port, --force and --dry-run.',
    });
  return ports[0] ?? null;
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
  if (slot !== undefined || firmware !== undefined || model !== undefined) {
    const { prepareUpdate } = await import('./flash-slot.js');
    return await prepareUpdate(request);
  }
  const job = await prepareJob(request, rows);
  if (dryRun) return planOffline(job, request.loader.chip);
  return (how) => flashBoard(job, how);
}

export async function portsOf({ ports, all }: FlashRequest): Promise<readonly string[]> {
  const twice = ports.find((port, i) => ports.indexOf(port) !== i);
  if (twice !== undefined) throw new AiotError('AIOT_USAGE', `${twice} is specified twice`);
  if (all && ports.length > 0) throw new AiotError('AIOT_USAGE', '--all cannot be combined with --port');
  if (all) return (await boardPorts()).map(({ path }) => path);
  return ports.length > 0 ? ports : [await choosePort()];
}

/** Returns the job for a board. Called at each attempt. */
interface JobFor {
  (board: Pick<ChipInfo, 'chip' | 'mac'>): FlashJob;
  /** Target chip of identities and images; null = unknown. */
  chip: ChipName | null;
}

/** Reads all files before a port is opened. */
export async function prepareJob(request: FlashRequest, record: readonly RecordRow[]): Promise<JobFor> {
  const { images, project, device, header, erase, verify, force } = request;
  const pieces: Piece[] = await piecesOf(images);
  if (project !== null) pieces.push(...(await firmwareImages(project)).pieces);
  const { identities, skipped } =
    device === undefined ? { identities: [], skipped: [] } : await readIdentities(device);
  const old = await oldPieces(request.diffWith, pieces);
  if (pieces.length === 0 && identities.length === 0) throw nothingToWrite();
  joinSectors(
    pieces.flatMap(({ place, ...piece }) => (typeof place === 'number' ? [{ ...piece, offset: place }] : [])),
  );
  const single = identities[0]?.folder === device;
  const assign = identities.length > 0 ? assignIdentities(identities, record, single) : () => null;
  const notes = skipped.map(
    (folder) => `${folder} is skipped: it is an identity for a computer, not for a chip`,
  );
  const jobFor = (board: Pick<ChipInfo, 'chip' | 'mac'>): FlashJob => {
    const identity: DeviceIdentity | null = assign(board);
    const all = identity ? withIdentity(pieces, identity) : pieces;
    return { pieces: all, old, header, erase, verify, force, device: identity, notes };
  };
  return Object.assign(jobFor, { chip: chipOf(pieces, identities) });
}

/** The chip that the identities are for if they all agree, otherwise that of the images. */
function chipOf(pieces: readonly Piece[], identities: readonly DeviceIdentity[]): ChipName | null {
  const [first = null, ...others] = new Set(identities.flatMap(({ chip }) => chip ?? []));
  const [image = first] = pieces.flatMap(({ chip, data }) => chip ?? looksLike(data)?.chip ?? []);
  return others.length > 0 ? image : (first ?? image);
}

/** Adds the identity's pieces. Its table takes precedence, because its NVS is at the offset that its table defines. */
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
        `--diff-with ${word}: expected an offset, because ${pieces.length} images are written`,
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
  return new AiotError('AIOT_USAGE', 'expected at least one file to write', {
    next: 'Name files (`aiot flash app.bin@0x10000`) or a firmware folder (`aiot flash --project FIRMWARE_DIR`). For all options, run `aiot flash --help`.',
  });
}

/**
 * The regions that would be written, without a board, for the specified chip or, if none is specified, the chip of identities and images.
 * Checks that need a board (flash size, fuses, table) are skipped.
 * @throws the errors of `planWrite`; AIOT_USAGE if the chip is unknown
 */
function planOffline(jobFor: JobFor, wanted: ChipName | 'auto'): Planned {
  const chip = wanted === 'auto' ? jobFor.chip : wanted;
  if (chip === null) {
    throw new AiotError('AIOT_USAGE', 'expected --chip, because none of the files identifies the chip');
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

export interface FlashBoardsOptions {
  ports: readonly string[];
  /** Number of boards flashed concurrently. */
  jobs: number;
  /** Number of additional attempts per port after errors that may be temporary. */
  retries: number;
  loader: Omit<LoaderOptions, 'progress'>;
  /** Flashes one board; called again for a retry. */
  flash: (how: FlashBoardOptions) => Promise<Flashed>;
  row?: (row: BoardRow) => void;
  ask?: (text: string) => void;
  /** Called after each board, before the next one starts. */
  finished?: (outcome: BoardOutcome) => Promise<void>;
  clock?: Clock;
}

interface OnePort extends Omit<FlashBoardsOptions, 'ports' | 'jobs'> {
  /** Ports of this run, by the MAC of their board. */
  portOf?: Map<string, string>;
}

/** Pause between two attempts, ms. An adapter that was unplugged or reset needs a moment. */
const pauseMs = 500;

/**
 * Flashes boards in parallel. A failure does not stop the others, but an aborted signal does; ports that were not started are then
 * reported as stopped.
 */
export async function flashBoards(options: FlashBoardsOptions): Promise<Boards> {
  const started = performance.now();
  for (const port of options.ports) options.row?.(waitingRow(port));
  const portOf = new Map<string, string>();
  const done = await inParallel(options.ports, options.jobs, (port) =>
    flashPort(port, { ...options, portOf }),
  );
  const boards = done.map(({ outcome }) => outcome);
  const ok = boards.filter(({ error }) => error === null).length;
  return { boards, ok, failed: boards.length - ok, seconds: secondsSince(started) };
}

/** Flashes the board at one port, with retries. If it fails, `error` is the error of the last attempt. */
export async function flashPort(
  port: string,
  options: OnePort,
): Promise<{ outcome: BoardOutcome; error: AiotError | null }> {
  const { row = () => {}, finished, clock = systemClock } = options;
  const tracker = trackRow(port, row, () => performance.now());
  const started = performance.now();
  const { attempts, board, error } = await attemptAgain(port, options, tracker, clock);
  const wrong = error ?? (board && unhealthy(board));
  const told = wrong && { code: wrong.code, message: wrong.message, next: wrong.next };
  const { mac, chip, device } = tracker.row;
  const seconds = secondsSince(started);
  const outcome: BoardOutcome = { port, attempts, seconds, mac, chip, device, board, error: told };
  await finished?.(outcome);
  return { outcome, error };
}

interface Attempted {
  attempts: number;
  board: Flashed | null;
  error: AiotError | null;
}

async function attemptAgain(
  port: string,
  options: OnePort,
  tracker: RowTracker,
  clock: Clock,
): Promise<Attempted> {
  const { signal } = options.loader;
  for (let attempts = 1; ; attempts++) {
    try {
      signal?.throwIfAborted();
      const board = await attemptOnce(port, options, tracker);
      tracker.change({ stage: 'done', error: null });
      return { attempts, board, error: null };
    } catch (cause) {
      const error = asAiotError(cause);
      if (attempts > options.retries || !mayHelp(error) || signal?.aborted) {
        tracker.change({ stage: 'failed', error: error.message });
        return { attempts, board: null, error };
      }
      tracker.change({ stage: 'again', error: error.message, attempt: attempts + 1 });
      await clock.sleep(pauseMs, signal).catch(() => {});
    }
  }
}

/** Converts any error to an AiotError, because an internal error on one board must not leave the others half written. */
function asAiotError(cause: unknown): AiotError {
  if (cause instanceof AiotError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return machineFailure(cause) ?? new AiotError('AIOT_BUG', message, { cause });
}

async function attemptOnce(port: string, options: OnePort, tracker: RowTracker): Promise<Flashed> {
  return await options.flash({
    port,
    loader: { ...options.loader, progress: (progress) => tracker.progress(progress) },
    connected: ({ mac, chip }) => {
      tracker.change({ mac, chip });
      requireOwnMac(port, mac, options.portOf);
    },
    named: (device) => tracker.change({ device }),
    ask: options.ask,
  });
}

/**
 * Rejects a board with a MAC that another board has. Boards are identified by their MAC, so both would get the same identity. @throws
 * AIOT_FLASH_REFUSED
 */
function requireOwnMac(port: string, mac: string, portOf: Map<string, string> | undefined): void {
  const other = portOf?.get(mac) ?? port;
  if (other !== port)
    throw new AiotError(
      'AIOT_FLASH_REFUSED',
      `the boards at ${port} and ${other} have the same MAC: ${mac}`,
      {
        next: 'If it is one board on two ports, choose one port. If two boards share this MAC, use only one: a fleet cannot distinguish them.',
      },
    );
  portOf?.set(mac, port);
}

/** Whether another attempt may succeed, for example after a loose cable, noise or a hung chip. A rejection would only be repeated. */
function mayHelp(error: AiotError): boolean {
  return error.family === 'outside' && error.code !== 'AIOT_INTERRUPTED' && error.exit !== 5;
}

/** Progress of one board. It is shown to people as a row, and to programs as a line. */
export interface BoardRow {
  port: string;
  mac: string | null;
  chip: string | null;
  /** Name of the device whose identity the board receives. */
  device: string | null;
  /** Current stage of the board. `again`: it failed and is retried. */
  stage: Stage | 'waiting' | 'again' | 'done' | 'failed';
  region: string | null;
  /** Text that shows progress in a stage that has no byte count. */
  note: string | null;
  /** Number of bytes that are done in this stage. */
  done: number;
  total: number;
  /** Bytes per second in this stage; null while unknown. */
  rate: number | null;
  /** Estimated time to the end of this stage, s; null while unknown. */
  secondsLeft: number | null;
  attempt: number;
  error: string | null;
}

/** Minimum time over which a rate is measured, ms. Over a shorter time, the result would be noise. */
const leastMs = 250;

function waitingRow(port: string): BoardRow {
  return {
    port,
    mac: null,
    chip: null,
    device: null,
    stage: 'waiting',
    region: null,
    note: null,
    done: 0,
    total: 0,
    rate: null,
    secondsLeft: null,
    attempt: 1,
    error: null,
  };
}

interface RowTracker {
  readonly row: BoardRow;
  change(values: Partial<BoardRow>): void;
  progress(progress: LoaderProgress): void;
}

/** Tracks the progress of one board and reports each change. @param now returns milliseconds */
function trackRow(port: string, told: (row: BoardRow) => void, now: () => number): RowTracker {
  let row = waitingRow(port);
  let began = { at: now(), done: 0 };
  const change = (values: Partial<BoardRow>) => {
    row = { ...row, ...values };
    told(row);
  };
  return {
    get row() {
      return row;
    },
    change,
    progress({ stage, region, done, total, note = null }) {
      if (stage !== row.stage || region !== row.region || done < row.done) began = { at: now(), done };
      const ms = now() - began.at;
      const rate = ms >= leastMs && done > began.done ? ((done - began.done) / ms) * 1000 : null;
      const secondsLeft = rate === null ? null : (total - done) / rate;
      change({ stage, region, note, done, total, rate, secondsLeft });
    },
  };
}
