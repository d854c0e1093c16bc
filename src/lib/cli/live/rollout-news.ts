import { type OfflineDevices, offlineLimitMs } from '../../api/rollouts/offline.js';
import type { Rollout } from '../../api/rollouts/schema.js';
import { elapsed, plural } from '../../core/figures.js';
import { shellWord } from '../../core/text.js';
import { formatDuration } from '../../core/time.js';
import { onlineOnly } from '../../fleet/selector.js';
import { sparkline } from '../render/chart.js';
import { bold, clipped, cyan, day, dim, green, minute, red, timeOfDay } from '../render/text.js';
import type { ProgressState } from './progress.js';

/** Number of recent intervals whose commits are drawn, and the length of an interval, ms. */
const [stretches, stretchMs] = [24, 1000];

const barCells = 24;

/** Reports the progress of a rollout whenever it changes: a line of text, and for terminals a bar per wave. */
export function rolloutNews(now: () => number = Date.now): (rollout: Rollout) => ProgressState {
  const begun = now();
  const commits: number[] = [];
  let before = -1;
  return (rollout) => {
    const { state, waves } = rollout;
    const heard = now();
    const sum = (what: 'committed' | 'devices') => waves.reduce((all, wave) => all + wave[what], 0);
    const [done, total] = [sum('committed'), sum('devices')];
    const open = waves.findLastIndex((wave) => wave.state !== 'waiting') + 1;
    const stretch = Math.floor((heard - begun) / stretchMs);
    // Commits before the first report are not counted in the pace.
    if (before >= 0) commits[stretch] = (commits[stretch] ?? 0) + done - before;
    before = done;
    const picture = (columns: number, rows: number) => {
      const last = Math.floor((now() - begun) / stretchMs);
      const recent = Array.from({ length: stretches }, (_, i) => commits[last - stretches + 1 + i] ?? 0);
      const pace = recent.some((count) => count > 0) ? `  ${cyan(sparkline(recent))}` : '';
      const head = `${bold(rollout.id)}  ${state}  ${done} of ${total} committed  ${dim(elapsed(rollout.seconds * 1000 + now() - heard))}${pace}`;
      // If not all waves fit, those around the open one are shown.
      const room = Math.max(1, rows - 2);
      const from = Math.max(0, Math.min(open - Math.ceil(room / 2), waves.length - room));
      const shown = waves.slice(from, from + room).map((wave, i) => waveLine(wave, from + i + 1));
      return [head, ...shown].map((line) => clipped(line, columns - 1));
    };
    return { text: `${state}, wave ${open} of ${waves.length}`, done, total, picture };
  };
}

/** Maximum number of names listed. */
const named = 3;

/**
 * Describes the offline devices that a rollout waits for, how long it waits, and how to leave such devices out.
 * @param now ms since 1970
 * @param deadlineFlag the flag that sets the policy's deadline
 */
export function offlineNote(
  { names, never = [], of, wave, until }: OfflineDevices,
  { waves, policy, selector }: Pick<Rollout, 'waves' | 'policy' | 'selector'>,
  now: number = Date.now(),
  deadlineFlag = '--deadline',
): string {
  const listed = (all: readonly string[]) =>
    `(${all.slice(0, named).join(', ')}${all.length > named ? ', …' : ''})`;
  const fleet = `${names.length} of ${plural(of, 'device')}`;
  const one = names.length === 1;
  // A device that has never connected has usually not been started yet.
  const which =
    never.length === names.length
      ? `${fleet} ${one ? 'has' : 'have'} never connected ${listed(names)}`
      : `${fleet} ${one ? 'is' : 'are'} offline ${listed(names)}${never.length === 0 ? '' : `, ${never.length} of which never connected ${listed(never)}`}`;
  const flag = policy.offlineMs === null ? deadlineFlag : '--offline-deadline';
  const limit = formatDuration(offlineLimitMs(policy));
  // A wave that has passed no longer waits for devices, but the rollout ends only after all devices have ended.
  const waiting = waves[wave]?.state === 'passed' ? 'the rollout' : `wave ${wave + 1}`;
  const wait =
    until === null
      ? `${waiting} will wait for up to ${limit} (${flag})`
      : `${waiting} waits until ${clock(until, now)} UTC (${flag} ${limit})`;
  const online = names.length < of ? onlineOnly(selector) : null;
  const without = online === null ? '' : `; to leave them out, use --selector ${shellWord(online)}`;
  return `${which}; ${wait}${without}`;
}

/** The time of day, with the date if it is not today. */
function clock(at: number, now: number): string {
  return day(at) === day(now) ? timeOfDay(at).slice(0, 8) : minute(at);
}

/**
 * A wave as a bar. Full cells are committed devices, half cells devices in progress, crossed cells lost ones. The characters also
 * differ, for readers without colors.
 */
function waveLine(wave: Rollout['waves'][number], number: number): string {
  const lost = wave.failed + wave.rolledBack + wave.missed;
  const moving = wave.updating + wave.shadowing + wave.recalled + wave.restoring;
  const ends = [wave.committed, wave.committed + lost, wave.committed + lost + moving];
  const cells = ends.map((end) => Math.round((end / Math.max(1, wave.devices)) * barCells));
  const [full = 0, crossed = 0, half = 0] = cells;
  const bar = `${green('█'.repeat(full))}${red('╳'.repeat(crossed - full))}${cyan('▒'.repeat(half - crossed))}${dim('░'.repeat(Math.max(0, barCells - half)))}`;
  const figures = `${wave.committed} of ${wave.devices}`;
  const others = lost > 0 ? `  ${red(`${lost} failed`)}` : '';
  return `wave ${String(number).padEnd(3)} ${wave.state.padEnd(9)} ${bar}  ${figures}${others}`;
}
