import { plural, size, thousands } from '../../core/figures.js';
import type { Rehearsals } from '../../fleet/rehearse.js';
import type { FollowRolloutOptions } from '../../registry/rollouts/deploy.js';
import type { RolloutReport } from '../../registry/rollouts/report.js';
import type {
  Release,
  Rollout,
  RolloutDeviceInfo,
  RolloutPlan,
  RolloutStatus,
} from '../../registry/rollouts/schema.js';
import type { ShadowPolicy } from '../../registry/rollouts/shadow.js';
import { offlineNote } from '../live/rollout-news.js';
import { bold, dim, green, red, yellow } from './style.js';
import { elapsed, facts, table } from './text.js';
import { minute } from './time.js';

/** Rows of devices that are shown at most: the rest is counted. */
const rows = 20;

/** A rollout with its devices, a row a device. */
export function deployedText({ id, devices }: { id: string; devices: RolloutDeviceInfo[] }): string {
  return `${bold(id)}\n${devicesTable(devices)}`;
}

/** Tells who waits for a rollout in one wave of its start, and of each device's step once. */
export function deployNotes(tell: (line: string) => void): Omit<FollowRolloutOptions, 'client' | 'signal'> {
  const told = new Map<string, string>();
  return {
    onStarted: ({ id }) => tell(`rollout ${id} is under way`),
    onOffline: (names) => tell(offlineNote(names)),
    onProgress: ({ changed }) => {
      for (const { name, state, step, error } of changed) {
        const line = `${name}: ${state}${step ? `, ${step}` : ''}${error ? ` (${error.code}: ${error.message})` : ''}`;
        if (told.get(name) !== line) tell(line);
        told.set(name, line);
      }
    },
  };
}

export function rolloutsTable(rollouts: Rollout[]): string {
  const lines = rollouts.map((rollout) => {
    const { id, releases, created } = rollout;
    const what = releases.map(nameOf).join(' + ');
    return [id, what, stateOf(rollout), sum(rollout, 'committed'), sum(rollout, 'devices'), minute(created)];
  });
  return table(['id', 'what', 'state', 'committed', 'devices', 'started'], lines, 'No rollouts yet.');
}

/** A rollout, a row a wave. */
export function rolloutText(rollout: Rollout): string {
  return [bold(rollout.id), facts(factsOf(rollout)), '', wavesTable(rollout), ...shadowLines(rollout)].join(
    '\n',
  );
}

/** What should run and what runs: a rollout, a row a wave, and some of its devices. */
export function rolloutStatusText(status: RolloutStatus, devices: RolloutDeviceInfo[]): string {
  const runs = status.runs.map(
    ({ name, version, devices }) =>
      `${name === null ? 'nothing' : `${name}@${version}`} on ${thousands(devices)}`,
  );
  return [
    bold(status.id),
    facts([...factsOf(status), ['runs now', runs.join(', ')], ...savedFacts(status.saved)]),
    '',
    wavesTable(status),
    ...shadowLines(status),
    ...(devices.length > 0 ? ['', devicesTable(devices)] : []),
  ].join('\n');
}

/** What deltas did, where there were some. */
function savedFacts({ byDelta, fellBack, bytes }: RolloutStatus['saved']): [string, string][] {
  if (byDelta + fellBack === 0) return [];
  const back = fellBack === 0 ? '' : `, ${plural(fellBack, 'device')} took the whole instead`;
  return [['deltas', `${size(bytes)} saved on ${plural(byDelta, 'device')}${back}`]];
}

function factsOf(rollout: Rollout): [string, string][] {
  const { releases, rollback, selector, by, created, reason, seconds, policy, approvals } = rollout;
  return [
    ['state', stateOf(rollout)],
    ...(reason ? ([['why', `${reason.code}: ${reason.message}`]] as [string, string][]) : []),
    [
      'what',
      releases.map((release) => `${nameOf(release)} ${dim(`sequence ${release.sequence}`)}`).join(', then '),
    ],
    ...(rollback ? ([['way back', nameOf(rollback)]] as [string, string][]) : []),
    ['to', `${selector} ${dim(`(${plural(sum(rollout, 'devices'), 'device')})`)}`],
    ['limits', `at most ${policy.maxFailures} of a wave fail, at least ${policy.minSuccess} commit`],
    ...(policy.shadow ? ([['shadow', shadowText(policy.shadow)]] as [string, string][]) : []),
    ['started', `${minute(created)} by ${by}`],
    ...approvals.map(({ who, at }): [string, string] => ['approved', `${minute(at)} by ${who}`]),
    ['took', elapsed(seconds * 1000)],
  ];
}

function wavesTable({ waves }: Rollout): string {
  const lines = waves.map((wave, index) => {
    const { pending, offered, updating, shadowing, recalled, restoring } = wave;
    const others = wave.missed + wave.withdrawn + wave.restored;
    return [
      ...[index + 1, wave.state, wave.devices, wave.committed, updating + shadowing + recalled + restoring],
      ...[pending + offered, wave.failed, wave.rolledBack, others],
    ];
  });
  const head = ['wave', 'state', 'devices', 'committed', 'under way', 'waiting'];
  return table([...head, 'failed', 'rolled back', 'out'], lines);
}

function shadowText({ ms, minWindows, maxDisagreement, maxLatency, maxHeapBytes }: ShadowPolicy): string {
  const heap = maxHeapBytes === null ? '' : `, at most ${thousands(maxHeapBytes)} bytes`;
  const limits = `at most ${maxDisagreement} other answers and ${maxLatency} times the time${heap}`;
  return `${elapsed(ms)} in each wave, ${plural(minWindows, 'window')} at least; ${limits}`;
}

/** What was measured of the candidate beside the model in use, a row a wave. */
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
    'bytes',
    'answers',
  ];
  return ['', table(head, lines)];
}

function msText(ms: number): string {
  return String(Number(ms.toPrecision(2)));
}

/** How often which answer was given by the one and by the other. */
function answersText(active: Record<string, number>, candidate: Record<string, number>): string {
  const labels = [...new Set([...Object.keys(active), ...Object.keys(candidate)])].sort();
  return labels.map((label) => `${label} ${active[label] ?? 0} → ${candidate[label] ?? 0}`).join(', ');
}

function devicesTable(devices: RolloutDeviceInfo[]): string {
  const shown = devices.slice(0, rows);
  const lines = shown.map(({ name, state, step, proof, error }) => [
    ...[name, state, step, proof?.state ?? null],
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
    table(['wave', 'devices', 'who'], lines),
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
    ? `half within ${elapsed(durationMs.p50)}, nine of ten within ${elapsed(durationMs.p90)}, all within ${elapsed(durationMs.max)}`
    : 'nobody committed';
  return [
    rolloutText(rollout),
    '',
    facts([['proof', proofOf(devices)], ['signed', signedOf(devices)], ['time', took], ...savedFacts(saved)]),
    '',
    proofTable(devices, rollout),
    '',
    table(
      ['when', 'who', 'what', ''],
      history.map(({ at, who, type, data }) => [minute(at), who, type, toldOf(data)]),
    ),
    ...(failures.length > 0
      ? [
          '',
          table(
            ['error', 'devices', 'such as'],
            failures.map(({ code, devices, example }) => [code, devices, example]),
          ),
        ]
      : []),
  ].join('\n');
}

/** How many devices have shown each step of the way. */
function proofOf(devices: RolloutDeviceInfo[]): string {
  const steps = ['offered', 'downloaded', 'verified', 'booted', 'golden', 'committed', 'healthy'] as const;
  return steps
    .map((step) => `${devices.filter(({ times }) => times[step] !== undefined).length} ${step}`)
    .join(', ');
}

function signedOf(devices: RolloutDeviceInfo[]): string {
  return (['proven', 'said', 'refused'] as const)
    .map((state) => `${devices.filter(({ proof }) => proof?.state === state).length} ${state}`)
    .join(', ');
}

/** What each device was to run, how long after its offer it showed which step, and how sure its commit is. */
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
  const rest = more > 0 ? `\n${dim(`and ${thousands(more)} more: --json has all`)}` : '';
  return `${table(['device', 'should run', ...steps, 'proof'], lines)}${rest}`;
}

function proofText(proof: RolloutDeviceInfo['proof']): string {
  if (!proof) return '';
  const { state, golden, healthyS, refused } = proof;
  const facts = [
    ...(golden ? [`${golden.passed} of ${golden.vectors} golden`] : []),
    ...(healthyS === null ? [] : [`well for ${elapsed(healthyS * 1000)}`]),
    ...(refused ? [refused.code] : []),
  ];
  return [state, ...(facts.length > 0 ? [`(${facts.join(', ')})`] : [])].join(' ');
}

function toldOf(data: Record<string, unknown>): string {
  const { wave, state, reason } = data as {
    wave?: number;
    state?: string;
    reason?: { message: string } | null;
  };
  return [
    ...(wave === undefined ? [] : [`wave ${wave + 1}`]),
    ...(state === undefined ? [] : [state]),
    ...(reason ? [reason.message] : []),
  ].join(' ');
}

function nameOf({ kind, name, version }: Release): string {
  return kind === 'model' ? `${name}@${version}` : `${kind} ${name}@${version}`;
}

function sum({ waves }: Rollout, what: 'committed' | 'devices'): number {
  return waves.reduce((total, wave) => total + wave[what], 0);
}

function stateOf({ state }: Rollout): string {
  if (state === 'done') return green(state);
  if (state === 'running') return yellow(state);
  return state === 'awaitingApproval' || state === 'scheduled' ? state : red(state);
}

/** What is to be expected of a planned rollout. */
export function rehearsalsText({ request }: RolloutPlan, rehearsals: Rehearsals): string {
  const { runs, seed, devices, trouble, stopped, ends, seconds, tried, failed, left } = rehearsals;
  const percent = (share: number) => `${Math.round(share * 1000) / 10} %`;
  const line = (what: string, figures: Rehearsals['tried'], show: (value: number) => string) => [
    ...[what, show(figures.p50), show(figures.p90), show(figures.p99), show(figures.max)],
  ];
  const what = request.releases.map(({ name, version }) => `${name}@${version}`).join(', then ');
  return [
    `${bold(what)} to ${plural(devices, 'device')}, rehearsed ${plural(runs, 'time')} with seed ${seed}`,
    facts([
      [
        'trouble',
        trouble === 0
          ? green('in none of the runs')
          : `${red(`in ${percent(trouble)} of the runs`)}; ${percent(stopped)} stopped themselves`,
      ],
      ...ends.map(({ state, code, runs }): [string, string] => [state, `${runs}${code ? `, ${code}` : ''}`]),
    ]),
    '',
    table(
      ['of the runs', 'half', 'nine of ten', '99 of 100', 'at most'],
      [
        line('time', seconds, (value) => elapsed(value * 1000)),
        line('devices that tried it', tried, thousands),
        line('that it failed on', failed, thousands),
        line('left as they were', left, thousands),
      ],
    ),
  ].join('\n');
}
