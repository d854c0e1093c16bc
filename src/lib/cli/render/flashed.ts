import { type AiotError, shellWord, size } from '../../core/index.js';
import type { Boards, Flashed, Planned } from '../../flash/index.js';
import { bold, green, red, yellow } from './style.js';
import { elapsed, next, table } from './text.js';

type Result = Flashed | Boards | Planned;

/** What `aiot flash` did, for people. */
export function flashedText(result: Result): string {
  if ('boards' in result) return boardsText(result);
  if (!('port' in result)) return plannedText(result);
  const { chip, mac, port, regions, seconds } = result;
  const all = regions.length === 0 ? 'switched' : stateOf(result);
  return [
    ...(regions.length > 0 ? [regionTable(regions)] : []),
    ...noted(result),
    ...switchedLines(result),
    `${bold(`${chip} ${mac}`)} at ${port}: ${green(all)} in ${elapsed(seconds * 1000)}.`,
    ...(result.restarted ? [] : [yellow('Press RESET to start it.')]),
  ].join('\n');
}

function regionTable(regions: Flashed['regions']): string {
  const rows = regions.map(({ name, offset, bytes, skipped, written, md5 }) => [
    hex(offset),
    name,
    size(bytes),
    skipped ? 'there already' : written < bytes ? `${size(written)} of it` : 'written',
    md5,
  ]);
  return table(['offset', 'what', 'size', '', 'md5'], rows);
}

function plannedText({ chip, regions, ...notes }: Planned): string {
  const rows = regions.map(({ name, offset, bytes, md5 }) => [hex(offset), name, size(bytes), md5]);
  return [
    table(['offset', 'what', 'size', 'md5'], rows),
    ...noted(notes),
    `Would be written to an ${bold(chip)}; nothing was opened.`,
  ].join('\n');
}

function noted({ warnings, overridden }: Pick<Flashed, 'warnings' | 'overridden'>): string[] {
  return [
    ...warnings.map((warning) => `${yellow('!')} ${warning}`),
    ...overridden.map(({ message }) => `${yellow('! --force overrode:')} ${message}`),
  ];
}

function switchedLines({ switched }: Flashed): string[] {
  if (!switched) return [];
  const { slot, before, healthy, restored, reason } = switched;
  if (restored)
    return [`${red('✗')} ${slot} did not come up healthy, and the board starts ${before} again: ${reason}`];
  if (healthy === false)
    return [`${red('✗')} ${slot} did not come up healthy, and was NOT set back to ${before}: ${reason}`];
  const from = before === null || before === slot ? '' : ` instead of ${before}`;
  const well = healthy ? `; ${reason}` : '';
  return [`${green('✓')} The board uses ${bold(slot)} now${from}${well}.`];
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
  return [
    table(['port', 'mac', 'chip', 'device', '', 'attempts', 'time'], rows),
    ...notes,
    ...reasons,
    `${bold(String(ok))} of ${ok + failed} boards in ${elapsed(seconds * 1000)}.`,
  ].join('\n');
}

function stateOf({ regions, verified }: Flashed): string {
  if (regions.every(({ skipped }) => skipped)) return 'unchanged';
  return verified ? 'verified' : 'written';
}

/**
 * How `aiot flash` ends: the exit code, and for people an error after the result.
 * @param unhealthy lib's own judgement of one board; handed in, so that no other command loads it
 */
export function flashExit(
  result: Result,
  unhealthy: (board: Flashed) => AiotError | null,
): { code: 0 | 1 | 3; error: AiotError | null } {
  if ('boards' in result) {
    const { ok, failed } = result;
    if (failed === 0) return { code: 0, error: null };
    return { code: ok > 0 ? 3 : 1, error: null };
  }
  const error = 'port' in result ? unhealthy(result) : null;
  return { code: error ? 1 : 0, error };
}

/** What to type next. */
export function flashNext(result: Result): string {
  if ('boards' in result) return next('aiot device list');
  if (!('port' in result)) return next('aiot device ports');
  const at = ` --port ${shellWord(result.port)}`;
  return next(`aiot monitor${at}`, ...(result.device === null ? [] : ['aiot device list']));
}

function hex(offset: number): string {
  return `0x${offset.toString(16)}`;
}
