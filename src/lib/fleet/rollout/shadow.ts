import { shareOf } from '../../api/rollouts/amount.js';
import type { ShadowFigures, ShadowPolicy } from '../../api/rollouts/shadow.js';
import { plural } from '../../core/figures.js';
import type { Draft } from './draft.js';
import type { RolloutWave } from './types.js';

/**
 * Limits of the interval between a device's shadow reports, ms. Within these limits, a device reports ten times during
 * a shadow.
 */
const [leastMs, mostMs] = [250, 60_000];

export function shadowWish({ ms }: ShadowPolicy): { everyMs: number } {
  return { everyMs: Math.min(mostMs, Math.max(leastMs, Math.floor(ms / 10))) };
}

/** Whether the wave's devices run the candidate alongside their current model, without committing the candidate. */
export function isShadowing(wave: RolloutWave): boolean {
  return wave.shadow ? !wave.shadow.passed : false;
}

/** Starts a wave's shadow, and discards the devices' measurements from an earlier shadow. */
export function beginShadow(draft: Draft, index: number): void {
  if (draft.head.policy.shadow === null) return;
  const wave = draft.wave(index);
  for (const device of draft.devicesOf(index)) if (device.shadow) draft.change(device, { shadow: null });
  wave.state = 'shadowing';
  wave.shadow = { from: draft.at, passed: false, devices: 0, figures: null };
}

/** Judges the devices' measurements; null = more measurements are needed. */
export function judgeShadow(draft: Draft, index: number): 'passed' | { stop: string } | null {
  const { shadow: policy } = draft.head.policy;
  const wave = draft.wave(index);
  if (!wave.shadow || policy === null) return 'passed';
  const all = [...draft.devicesOf(index)].flatMap(({ shadow }) => (shadow?.windows ? [shadow] : []));
  const figures = inAll(all);
  wave.shadow = { ...wave.shadow, devices: all.length, figures };
  const windows = figures?.windows ?? 0;
  if (figures && windows >= policy.minWindows) {
    const beyond = beyondLimits(figures, policy);
    if (beyond.length > 0)
      return { stop: `${beyond.join('; ')} (${windows} windows of ${plural(all.length, 'device')})` };
  }
  if (draft.at < wave.shadow.from + policy.ms) return null;
  if (windows >= policy.minWindows) return 'passed';
  const got = `${windows} from ${all.length} of ${wave.devices} devices`;
  return { stop: `expected at least ${policy.minWindows} windows, got ${got}: too few to compare` };
}

/** Marks a wave's shadow as passed. The devices that run it are then due for an offer of the release itself. */
export function passShadow(draft: Draft, index: number): void {
  const wave = draft.wave(index);
  Object.assign(wave, { state: 'open', shadow: { ...wave.shadow, passed: true } });
  for (const device of draft.devicesOf(index)) {
    const holds = device.asShadow && (device.state === 'offered' || device.state === 'updating');
    if (holds || device.state === 'shadowing') draft.change(device, { state: 'shadowing', attempts: 0 });
    else if (device.state === 'pending') draft.change(device, { attempts: 0 });
  }
}

function beyondLimits({ windows, disagreements, active, candidate }: ShadowFigures, policy: ShadowPolicy) {
  const { maxDisagreement, maxLatency, maxHeapBytes } = policy;
  const percent = (share: number) => `${Math.round(share * 1000) / 10}%`;
  const ms = (value: number) => `${Number(value.toPrecision(3))} ms`;
  const { p95Ms } = candidate;
  return [
    ...(disagreements > shareOf(maxDisagreement, windows)
      ? [`${percent(disagreements / windows)} of the predictions differ; expected at most ${maxDisagreement}`]
      : []),
    ...(p95Ms > maxLatency * active.p95Ms
      ? [
          `${ms(p95Ms)} per window, compared with ${ms(active.p95Ms)}; expected at most ${maxLatency} times that`,
        ]
      : []),
    ...(maxHeapBytes !== null && candidate.arenaBytes > maxHeapBytes
      ? [`${candidate.arenaBytes} bytes of memory; expected at most ${maxHeapBytes}`]
      : []),
  ];
}

/** Maximum number of classes whose counts are reported. If a model has more, the most common ones are reported. */
const mostLabels = 64;

/** The weight of one device is capped at this many times the median number of windows. */
const mostTimesMedian = 10;

/** Scales down the values of devices that report very many windows, so that they cannot outvote the others. */
function bounded(all: readonly ShadowFigures[]): ShadowFigures[] {
  const sorted = all.map(({ windows }) => windows).sort((a, b) => a - b);
  const most = mostTimesMedian * (sorted[Math.floor((sorted.length - 1) / 2)] ?? 0);
  return all.map((one) => {
    if (one.windows <= most) return one;
    return { ...one, windows: most, disagreements: Math.round((one.disagreements / one.windows) * most) };
  });
}

function commonest(labels: Record<string, number>): Record<string, number> {
  const sorted = Object.entries(labels).sort(([, a], [, b]) => b - a);
  return Object.fromEntries(sorted.slice(0, mostLabels));
}

/**
 * Combines the measurements of several devices: windows and predictions are summed, times are weighted by windows, and memory is the
 * maximum.
 */
function inAll(said: readonly ShadowFigures[]): ShadowFigures | null {
  const all = bounded(said);
  const windows = all.reduce((sum, one) => sum + one.windows, 0);
  if (windows === 0) return null;
  const side = (which: 'active' | 'candidate'): ShadowFigures['active'] => {
    const mean = (of: 'p50Ms' | 'p95Ms') =>
      all.reduce((sum, one) => sum + one.windows * one[which][of], 0) / windows;
    const labels: Record<string, number> = {};
    for (const one of all) {
      for (const [label, count] of Object.entries(one[which].labels)) {
        labels[label] = (Object.hasOwn(labels, label) ? labels[label]! : 0) + count;
      }
    }
    const arenaBytes = Math.max(...all.map((one) => one[which].arenaBytes));
    return { p50Ms: mean('p50Ms'), p95Ms: mean('p95Ms'), arenaBytes, labels: commonest(labels) };
  };
  const disagreements = all.reduce((sum, one) => sum + one.disagreements, 0);
  return { windows, disagreements, active: side('active'), candidate: side('candidate') };
}
