import { elapsed, plural, thousands } from '../../../core/figures.js';
import { type Html, html, htmlTable } from '../../../formats/html.js';
import { barChart, histogram, type Paint, stackChart } from '../../../formats/html-charts.js';
import type { RolloutReport } from '../report.js';
import type { Rollout, RolloutDeviceInfo, RolloutDeviceState } from '../schema.js';
import { stateWords } from '../words.js';
import { stretchesOf, tookOf } from './durations.js';

/** Device states as segments of one bar, from completed to not started. */
const parts: readonly { name: string; paint: Paint; states: readonly RolloutDeviceState[] }[] = [
  { name: 'committed', paint: 'good', states: ['committed'] },
  { name: 'updating', paint: 1, states: ['offered', 'updating', 'shadowing', 'recalled'] },
  { name: 'rolled back on command', paint: 2, states: ['restoring', 'restored'] },
  { name: 'failed', paint: 'bad', states: ['failed'] },
  { name: 'rolled back automatically', paint: 'warn', states: ['rolledBack'] },
  { name: 'missed, withdrawn or pending', paint: 'soft', states: ['pending', 'missed', 'withdrawn'] },
];

/** Maximum number of bins in a histogram, and minimum number of devices for which a histogram is drawn. */
const mostBins = 24;
const enoughForBins = 8;

export function waveSection({ waves, created }: Rollout): Html {
  const rows = waves.map((wave, index) => ({
    name: `Wave ${index + 1}, ${stateWords(wave.state)}`,
    values: parts.map(({ states }) => states.reduce((sum, state) => sum + wave[state], 0)),
    text: `${thousands(wave.committed)} of ${thousands(wave.devices)}`,
  }));
  const times = waves.map((wave, index) => [
    ...[String(index + 1), stateWords(wave.state), thousands(wave.devices)],
    wave.opened === null ? '–' : `+${elapsed(Math.max(0, wave.opened - created))}`,
    wave.opened === null || wave.ended === null ? '–' : elapsed(Math.max(0, wave.ended - wave.opened)),
  ]);
  return html`<h2>Waves</h2><div class="pair">${stackChart({ title: 'Committed', parts, rows })}${htmlTable(['Wave', 'State', 'Devices', 'Opened', 'Duration'], times)}</div>`;
}

export function failureSection({ failures }: RolloutReport): Html | null {
  if (failures.length === 0) return null;
  const chart = barChart({
    title: 'Failed devices by error',
    bars: failures.map(({ code, devices }) => ({
      ...{ name: code, value: devices, text: plural(devices, 'device'), paint: 'bad' as const },
    })),
  });
  const examples = htmlTable(
    ['Error', 'Example'],
    failures.map(({ code, example }) => [code, example]),
  );
  return html`<h2>Failures</h2><div class="pair">${chart}${examples}</div>`;
}

/** Durations of each phase. */
export function stretchSection(devices: readonly RolloutDeviceInfo[]): Html | null {
  const stretches = stretchesOf(devices);
  if (stretches.length === 0) return null;
  const chart = barChart({
    title: 'Median time per phase',
    bars: stretches.map(({ name, p50 }) => ({ name, value: p50, text: elapsed(p50) })),
  });
  const rows = stretches.map(({ name, devices: count, p50, p90, max }) => [
    ...[name, thousands(count), elapsed(p50), elapsed(p90), elapsed(max)],
  ]);
  return html`<h2>Durations</h2><div class="pair">${chart}${htmlTable(
    ['Phase', 'Devices', 'Median', '90th percentile', 'Maximum'],
    rows,
  )}</div>`;
}

/** Histogram of the time from offer to commit; null if there are too few devices for a distribution. */
export function spreadChart(devices: readonly RolloutDeviceInfo[]): Html | null {
  const took = tookOf(devices, 'offered', 'committed');
  if (took.length < enoughForBins) return null;
  const seconds = took.map((ms) => ms / 1000);
  const [from, to] = [seconds[0]!, seconds.at(-1)!];
  if (to === from) return null;
  const count = Math.min(mostBins, Math.ceil(Math.sqrt(took.length)));
  const area = new Array<number>(count).fill(0);
  for (const value of seconds)
    area[Math.min(count - 1, Math.floor(((value - from) / (to - from)) * count))]! += 1 / took.length;
  const spoken = `Time from offer to commit of ${plural(took.length, 'device')}`;
  return html`<figure><figcaption>Offer to commit<span class="note">${plural(took.length, 'device')}</span></figcaption>${histogram({ from, to, area, unit: 's', spoken })}</figure>`;
}
