import { elapsed, plural, thousands } from '../../../core/figures.js';
import { writeFileAtomic } from '../../../core/files.js';
import { aiotVersion } from '../../../core/folders.js';
import { type Html, html, reportPage } from '../../../formats/html.js';
import { factList, lineChart, tileRow } from '../../../formats/html-charts.js';
import type { RolloutReport } from '../report.js';
import type { Release } from '../schema.js';
import { crashFreeWords, gateWords, proofWords, releaseText, stateWords } from '../words.js';
import { courseOf } from './course.js';
import { failureSection, spreadChart, stretchSection, waveSection } from './sections.js';
import { deviceTable, historyTable, utc } from './tables.js';

/** @throws AIOT_FILE_NOT_WRITABLE */
export async function writeRolloutPage(file: string, report: RolloutReport): Promise<void> {
  await writeFileAtomic(file, rolloutPage(report));
}

/** A rollout as a self-contained HTML page: waves, progress over time, failures, durations, each device, and the history. */
export function rolloutPage(report: RolloutReport): string {
  const { rollout } = report;
  const what = rollout.releases.map(kindText).join(', then ');
  const reason = rollout.reason
    ? [html`<p class="bad"><b>${rollout.reason.code}:</b> ${rollout.reason.message}</p>`]
    : [];
  return reportPage({
    title: `Rollout of ${what}`,
    lead: `${rollout.id}, ${stateWords(rollout.state)}. Selector: ${rollout.selector}. Started ${utc(rollout.created)} by ${rollout.by}.`,
    first: reason,
    sections: [
      tiles(report),
      waveSection(rollout),
      courseSection(report),
      failureSection(report),
      stretchSection(report.devices),
      deviceTable(report),
      historyTable(report),
      factSection(report),
    ],
    aiot: aiotVersion(),
  });
}

function tiles({ rollout, durationMs }: RolloutReport): Html {
  const sum = (...states: ('devices' | 'committed' | 'failed' | 'rolledBack' | 'missed' | 'crashed')[]) =>
    thousands(rollout.waves.reduce((all, wave) => all + states.reduce((n, state) => n + wave[state], 0), 0));
  return tileRow([
    ['devices', sum('devices')],
    ['committed', sum('committed')],
    ['failed or rolled back', sum('failed', 'rolledBack')],
    ...(rollout.waves.some(({ crashed }) => crashed > 0)
      ? [['crashed after the update', sum('crashed')] as const]
      : []),
    ['offline until the deadline', sum('missed')],
    ...(durationMs ? [['median time to commit', elapsed(durationMs.p50)] as const] : []),
    ['duration', elapsed(rollout.seconds * 1000)],
  ]);
}

function courseSection(report: RolloutReport): Html | null {
  const course = courseOf(report);
  if (course.at.length < 2) return null;
  const chart = lineChart({
    ...{ title: 'Devices', by: 'time since the start', x: course.at, xText: elapsed, steps: true },
    series: [
      { name: 'offered', values: course.offered, paint: 'soft' },
      { name: 'committed', values: course.committed, paint: 'good' },
      { name: 'failed, rolled back or missed', values: course.lost, paint: 'bad' },
    ],
    format: (value) => String(Number(value.toPrecision(3))),
  });
  return html`<h2>Over time</h2><div class="pair">${chart}${spreadChart(report.devices)}</div>`;
}

function factSection({ rollout, runs, devices, saved }: RolloutReport): Html {
  const { policy, approvals, rollback } = rollout;
  const crashFree = crashFreeWords(rollout);
  const runsNow = runs.map(
    ({ name, version, devices: count }) =>
      `${name === null ? 'no model' : `${name}@${version}`} on ${plural(count, 'device')}`,
  );
  const proofs = (['proven', 'said', 'refused'] as const)
    .map((state) => [devices.filter(({ proof }) => proof?.state === state).length, state] as const)
    .filter(([count]) => count > 0)
    .map(([count, state]) => `${thousands(count)} ${proofWords[state]}`);
  const fell =
    saved.fellBack === 0 ? '' : `; ${plural(saved.fellBack, 'device')} downloaded the full artifact instead`;
  const facts: [string, string][] = [
    ['Releases', rollout.releases.map(signedText).join(', then ')],
    ['Running now', runsNow.join(', ') || 'not reported'],
    ['Rollback to', rollback ? signedText(rollback) : 'none'],
    ['Waves', policy.waves.join(', ')],
    ['Gates', `${gateWords(policy)}; otherwise ${policy.onFailure}`],
    ...(crashFree ? ([['Crash-free', crashFree]] as [string, string][]) : []),
    ...(policy.soakMs > 0 ? ([['Soak', elapsed(policy.soakMs)]] as [string, string][]) : []),
    ['Proof', proofs.join(', ') || 'none'],
    ...(saved.byDelta + saved.fellBack > 0
      ? ([
          ['Deltas', `${thousands(saved.bytes)} bytes saved on ${plural(saved.byDelta, 'device')}${fell}`],
        ] as [string, string][])
      : []),
    ...approvals.map(({ who, at }): [string, string] => ['Approved', `${utc(at)} by ${who}`]),
    ...(rollout.ended === null ? [] : ([['Ended', utc(rollout.ended)]] as [string, string][])),
  ];
  return html`<h2>Settings</h2>${factList(facts)}`;
}

function kindText(release: Release): string {
  const isPlain = release.kind === 'model' || release.kind === 'settings';
  return isPlain ? releaseText(release) : `${release.kind} ${releaseText(release)}`;
}

function signedText(release: Release): string {
  return release.kind === 'settings'
    ? kindText(release)
    : `${kindText(release)}, sequence ${release.sequence}`;
}
