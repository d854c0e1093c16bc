import { AiotError, refuseInputs, systemClock, writeFileAtomic } from '../../core/index.js';
import { boardPorts, choosePort } from '../ports/index.js';
import { type FlashBoardOptions, flashBoard } from './flash-board.js';
import { flashBoards, flashPort } from './flash-boards.js';
import { planOffline } from './offline.js';
import { prepareJob } from './prepare.js';
import { productionPage } from './production/page.js';
import { openRecord, rowOf } from './record.js';
import type { FlashRequest } from './request.js';
import type { BoardOutcome, Boards, Flashed, Planned } from './result.js';
import type { BoardRow } from './row.js';
import { prepareUpdate } from './update.js';

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
  const flash = await prepare(request, record?.rows() ?? []);
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

async function prepare(
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
