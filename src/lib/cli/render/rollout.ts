import type { FollowRolloutOptions } from '../../api/rollouts/deploy.js';
import type { OfflineDevices } from '../../api/rollouts/offline.js';
import type { Rehearsals } from '../../api/rollouts/rehearsal.js';
import type { RolloutReport } from '../../api/rollouts/report.js';
import type {
  Release,
  Rollout,
  RolloutDeviceInfo,
  RolloutPlan,
  RolloutStatus,
} from '../../api/rollouts/schema.js';
import type { ShadowPolicy } from '../../api/rollouts/shadow.js';
import {
  crashFreeWords,
  gateWords,
  proofWords,
  releaseText,
  stateWords,
  stepWord,
} from '../../api/rollouts/words.js';
import { elapsed, plural, size, thousands } from '../../core/figures.js';

import { offlineNote } from '../live/rollout-news.js';
import { bold, dim, facts, green, minute, red, table, yellow } from './text.js';

/** Maximum number of device rows; the others are only counted. */
const rows = 20;

/** The devices of a rollout, one row per device. The rollout's ID is in the notes, and in the suggested command. */
export function deployedText({ devices }: { devices: RolloutDeviceInfo[] }): string {
  return devicesTable(devices);
}

/** Notes for a user who waits for a rollout: the start of each wave and each step of each device, reported once. */
export function deployNotes(tell: (line: string) => void): Omit<FollowRolloutOptions, 'client' | 'signal'> {
  const told = new Map<string, string>();
  return {
    onStarted: ({ id, warnings = [] }) => {
      tell(`rollout ${id} is in progress`);
      for (const warning of warnings) tell(`! ${warning}`);
    },
    onOffline: (devices, rollout) => tell(offlineNote(devices, rollout, Date.now(), '--timeout')),
    onProgress: ({ changed }) => {
      for (const { name, state, step, error } of changed) {
        const line = `${name}: ${state}${step ? `, ${step}` : ''}${error ? ` (${error.code}: ${error.message})` : ''}`;
        if (told.get(name) !== line) tell(line);
        told.set(name, line);
      }
    },
  };
}

/** Formats rollouts as a table, followed by the reasons why some did not finish as planned. */
export function rolloutsTable(rollouts: Rollout[]): string {
  const lines = rollouts.map((rollout) => {
    const { id, releases, created } = rollout;
    const what = releases.map(nameOf).join(' + ');
    const committed = `${thousands(sum(rollout, 'committed'))} of ${thousands(sum(rollout, 'devices'))}`;
    return [id, what, stateOf(rollout), committed, minute(created)];
  });
  const head = ['id', 'release', 'state', 'committed', 'started (UTC)'];
  return table(head, lines, 'No rollouts yet.', rollouts.map(reasonOf));
}

const uneventful: ReadonlySet<Rollout['state']> = new Set([
  'awaitingApproval',
  'scheduled',
  'running',
  'done',
]);

/** Why a rollout stopped, or ended without all devices: the platform's reason, or else the devices that did not commit. */
function reasonOf(rollout: Rollout): string | null {
  if (uneventful.has(rollout.state)) return null;
  if (rollout.reason) return rollout.reason.message;
  const lost = [
    [sum(rollout, 'missed'), 'offline until the deadline'],
    [sum(rollout, 'failed'), 'failed'],
    [sum(rollout, 'rolledBack'), 'rolled back'],
    [sum(rollout, 'withdrawn'), 'withdrawn'],
  ] as const;
  const told = lost.filter(([count]) => count > 0).map(([count, what]) => `${thousands(count)} ${what}`);
  return told.length > 0 ? told.join(', ') : null;
}

/** A rollout, one row per wave. */
export function rolloutText(rollout: Rollout): string {
  return [bold(rollout.id), facts(factsOf(rollout)), '', wavesTable(rollout), ...shadowLines(rollout)].join(
    '\n',
  );
}

/** Desired and actual state: a rollout, one row per wave, and some of its devices. */
export function rolloutStatusText(
  status: RolloutStatus,
  { devices, offline }: { devices: RolloutDeviceInfo[]; offline: OfflineDevices | null },
): string {
  const runs = status.runs.map(
    ({ name, version, devices }) =>
      `${name === null ? 'no model' : `${name}@${version}`} on ${plural(devices, 'device')}`,
  );
  return [
    bold(status.id),
    facts([...factsOf(status), ['running now', runs.join(', ')], ...savedFacts(status.saved)]),
    '',
    wavesTable(status),
    ...(offline ? ['', yellow(`! ${offlineNote(offline, status)}`)] : []),
    ...shadowLines(status),
    ...(devices.length > 0 ? ['', devicesTable(devices)] : []),
  ].join('\n');
}

/** Savings by delta updates; empty if no device used a delta. */
function savedFacts({ byDelta, fellBack, bytes }: RolloutStatus['saved']): [string, string][] {
  if (byDelta + fellBack === 0) return [];
  const back = fellBack === 0 ? '' : `; ${plural(fellBack, 'device')} downloaded the full artifact instead`;
  return [['deltas', `${size(bytes)} saved on ${plural(byDelta, 'device')}${back}`]];
}

function factsOf(rollout: Rollout): [string, string][] {
  const { releases, rollback, selector, by, created, reason, seconds, policy, approvals } = rollout;
  const crashFree = crashFreeWords(rollout);
  return [
    ['state', stateOf(rollout)],
    ...(reason ? ([['reason', `${reason.code}: ${reason.message}`]] as [string, string][]) : []),
    ['releases', releases.map(signedText).join(', then ')],
    ...(rollback ? ([['rollback to', nameOf(rollback)]] as [string, string][]) : []),
    ['selector', `${selector} ${dim(`(${plural(sum(rollout, 'devices'), 'device')})`)}`],
    ['gates', gateWords(policy)],
    ...(crashFree ? ([['crash-free', crashFree]] as [string, string][]) : []),
    ...(policy.shadow ? ([['shadow', shadowText(policy.shadow)]] as [string, string][]) : []),
    ['started', `${minute(created)} UTC by ${by}`],
    ...approvals.map(({ who, at }): [string, string] => ['approved', `${minute(at)} UTC by ${who}`]),
    ['duration', elapsed(seconds * 1000)],
  ];
}

function wavesTable({ waves }: Rollout): string {
  const crashed = waves.some((wave) => wave.crashed > 0);
  const lines = waves.map((wave, index) => {
    const { pending, offered, updating, shadowing, recalled, restoring } = wave;
    const others = wave.missed + wave.withdrawn + wave.restored;
    return [
      ...[
        index + 1,
        stateWords(wave.state),
        wave.devices,
        wave.committed,
        updating + shadowing + recalled + restoring,
      ],
      ...[pending + offered, wave.failed, wave.rolledBack, others],
      ...(crashed ? [wave.crashed] : []),
    ];
  });
  const head = ['wave', 'state', 'devices', 'committed', 'updating', 'pending'];
  const ends = ['failed', 'rolled back', 'not updated', ...(crashed ? ['crashed'] : [])];
  return table([...head, ...ends], lines);
}

function shadowText({ ms, minWindows, maxDisagreement, maxLatency, maxHeapBytes }: ShadowPolicy): string {
  const heap = maxHeapBytes === null ? '' : `, at most ${thousands(maxHeapBytes)} bytes`;
  const limits = `at most ${maxDisagreement} different predictions and ${maxLatency} times the latency${heap}`;
  return `${elapsed(ms)} in each wave, at least ${plural(minWindows, 'window')}; ${limits}`;
}

/** Measurements of the candidate compared with the current model, one row per wave. */
function shadowLines({ waves }: Rollout): string[] {
  const lines = waves.flatMap(({ shadow }, index) => {
    if (!shadow) return [];
    const { passed, devices, figures } = shadow;
    const state = passed ? 'passed' : 'measured';
    if (!figures) return [[index + 1, state, devices, 0, '', '', '', '']];
    const { windows, disagreements, active, candidate } = figures;
    return [
      [
        ...[index + 1, state, devices, windows, `${((100 * disagreements) / windows).toFixed(1)}%`],
        `${msText(active.p50Ms)} → ${msText(candidate.p50Ms)}, ${msText(active.p95Ms)} → ${msText(candidate.p95Ms)}`,
        `${thousands(active.arenaBytes)} → ${thousands(candidate.arenaBytes)}`,
        answersText(active.labels, candidate.labels),
      ],
    ];
  });
  if (lines.length === 0) return [];
  const head = [
    'shadow of wave',
    'state',
    'devices',
    'windows',
    'differ',
    'median, p95 (ms)',
    'arena (bytes)',
    'predictions',
  ];
  return ['', table(head, lines)];
}

function msText(ms: number): string {
  return String(Number(ms.toPrecision(2)));
}

/**
 * How often the current model and the candidate, which runs as a shadow, predicted each class: `CLASS CURRENT →
 * CANDIDATE`.
 */
function answersText(active: Record<string, number>, candidate: Record<string, number>): string {
  const labels = [...new Set([...Object.keys(active), ...Object.keys(candidate)])].sort();
  return labels.map((label) => `${label} ${active[label] ?? 0} → ${candidate[label] ?? 0}`).join(', ');
}

function devicesTable(devices: RolloutDeviceInfo[]): string {
  const shown = devices.slice(0, rows);
  const lines = shown.map(({ name, state, step, proof, error, times }) => [
    ...[name, `${stateWords(state)}${times.crashed === undefined ? '' : ', crashed'}`, step],
    proof && proofWords[proof.state],
    error && `${error.code}: ${error.message}`,
  ]);
  const more = devices.length - shown.length;
  const rest = more > 0 ? `\n${dim(`and ${thousands(more)} more`)}` : '';
  return `${table(['device', 'state', 'step', 'proof', 'error'], lines)}${rest}`;
}

export function planText({ request, waves, warnings, deltas }: RolloutPlan): string {
  const lines = waves.map((names, index) => [
    ...[index + 1, names.length],
    names.slice(0, 5).join(', ') + (names.length > 5 ? ', …' : ''),
  ]);
  const what = request.releases.map(nameOf).join(', then ');
  return [
    `${bold(what)} to ${request.selector}`,
    '',
    table(['wave', 'count', 'devices'], lines),
    ...(deltas.length > 0 ? ['', ...deltas.map(deltaText)] : []),
    ...(warnings.length > 0 ? ['', ...warnings.map((warning) => yellow(`! ${warning}`))] : []),
  ].join('\n');
}

function deltaText({ release, devices, bytes, of }: RolloutPlan['deltas'][number]): string {
  const share = ((100 * bytes) / of).toFixed(1);
  return `${plural(devices, 'device')}: ${nameOf(release)} by a delta of ${size(bytes)}, ${share} % of ${size(of)}`;
}

export function rolloutReportText({
  rollout,
  devices,
  history,
  failures,
  durationMs,
  saved,
}: RolloutReport): string {
  const took = durationMs
    ? `median ${elapsed(durationMs.p50)}, 90th percentile ${elapsed(durationMs.p90)}, maximum ${elapsed(durationMs.max)}`
    : 'no device committed';
  return [
    rolloutText(rollout),
    '',
    facts([
      ['progress', proofOf(devices)],
      ['proofs', signedOf(devices)],
      ['duration', took],
      ...savedFacts(saved),
    ]),
    '',
    proofTable(devices, rollout),
    '',
    table(
      ['time (UTC)', 'user', 'event', 'details'],
      history.map(({ at, who, type, data }) => [minute(at), who, type, toldOf(data)]),
    ),
    ...(failures.length > 0
      ? [
          '',
          table(
            ['error', 'devices', 'example'],
            failures.map(({ code, devices, example }) => [code, devices, example]),
          ),
        ]
      : []),
  ].join('\n');
}

/** Number of devices that have reached each step. */
function proofOf(devices: RolloutDeviceInfo[]): string {
  const steps = ['offered', 'downloaded', 'verified', 'booted', 'golden', 'committed', 'healthy'] as const;
  return steps
    .map((step) => `${devices.filter(({ times }) => times[step] !== undefined).length} ${stepWord(step)}`)
    .join(', ');
}

function signedOf(devices: RolloutDeviceInfo[]): string {
  return (['proven', 'said', 'refused'] as const)
    .map((state) => `${devices.filter(({ proof }) => proof?.state === state).length} ${proofWords[state]}`)
    .join(', ');
}

/** The release of each device, the time from its offer to each reported step, and whether its commit is proven. */
function proofTable(devices: RolloutDeviceInfo[], { releases }: Rollout): string {
  const steps = ['downloaded', 'verified', 'booted', 'golden', 'committed', 'healthy'] as const;
  const shown = devices.slice(0, rows);
  const what = releases.map(nameOf).join(' + ');
  const lines = shown.map(({ name, times, proof }) => [
    ...[name, what],
    ...steps.map((step) => {
      const at = times[step];
      return at === undefined || times.offered === undefined ? '' : elapsed(at - times.offered);
    }),
    proofText(proof),
  ]);
  const more = devices.length - shown.length;
  const rest = more > 0 ? `\n${dim(`and ${thousands(more)} more; use --json for all`)}` : '';
  return `${table(['device', 'release', ...steps.map(stepWord), 'proof'], lines)}${rest}`;
}

function proofText(proof: RolloutDeviceInfo['proof']): string {
  if (!proof) return '';
  const { state, golden, healthyS, refused } = proof;
  const facts = [
    ...(golden ? [`${golden.passed} of ${golden.vectors} test vectors`] : []),
    ...(healthyS === null ? [] : [`healthy for ${elapsed(healthyS * 1000)}`]),
    ...(refused ? [refused.code] : []),
  ];
  return [proofWords[state], ...(facts.length > 0 ? [`(${facts.join(', ')})`] : [])].join(' ');
}

function toldOf(data: Record<string, unknown>): string {
  const { wave, state, reason } = data as {
    wave?: number;
    state?: string;
    reason?: { message: string } | null;
  };
  return [
    ...(wave === undefined ? [] : [`wave ${wave + 1}`]),
    ...(state === undefined ? [] : [stateWords(state)]),
    ...(reason ? [reason.message] : []),
  ].join(' ');
}

function nameOf(release: Release): string {
  const isPlain = release.kind === 'model' || release.kind === 'settings';
  return isPlain ? releaseText(release) : `${release.kind} ${releaseText(release)}`;
}

function signedText(release: Release): string {
  if (release.kind === 'settings') return nameOf(release);
  return `${nameOf(release)} ${dim(`sequence ${release.sequence}`)}`;
}

type Counted = 'committed' | 'devices' | 'failed' | 'missed' | 'rolledBack' | 'withdrawn';

function sum({ waves }: Rollout, what: Counted): number {
  return waves.reduce((total, wave) => total + wave[what], 0);
}

function stateOf({ state }: Rollout): string {
  const text = stateWords(state);
  if (state === 'done') return green(text);
  if (state === 'running') return yellow(text);
  return state === 'awaitingApproval' || state === 'scheduled' ? text : red(text);
}

/** Expected outcome of a planned rollout. */
export function rehearsalsText({ request, warnings }: RolloutPlan, rehearsals: Rehearsals): string {
  const { runs, seed, devices, trouble, stopped, ends, seconds, tried, failed, left } = rehearsals;
  const percent = (share: number) => `${Math.round(share * 1000) / 10} %`;
  const line = (what: string, figures: Rehearsals['tried'], show: (value: number) => string) => [
    ...[what, show(figures.p50), show(figures.p90), show(figures.p99), show(figures.max)],
  ];
  const what = request.releases.map(releaseText).join(', then ');
  return [
    `${bold(what)} to ${plural(devices, 'device')}, rehearsed ${plural(runs, 'time')} with seed ${seed}`,
    facts([
      [
        'problems',
        trouble === 0
          ? green('in no run')
          : `${red(`in ${percent(trouble)} of the runs`)}; ${percent(stopped)} stopped automatically`,
      ],
      ...ends.map(({ state, code, runs }): [string, string] => [
        stateWords(state),
        `${runs}${code ? `, ${code}` : ''}`,
      ]),
    ]),
    '',
    table(
      ['over the runs', 'median', 'p90', 'p99', 'maximum'],
      [
        line('duration', seconds, (value) => elapsed(value * 1000)),
        line('devices that tried the update', tried, thousands),
        line('devices that failed', failed, thousands),
        line('devices left unchanged', left, thousands),
      ],
    ),
    ...(warnings.length > 0 ? ['', ...warnings.map((warning) => yellow(`! ${warning}`))] : []),
  ].join('\n');
}
