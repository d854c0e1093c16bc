import { detectionsText, elapsed, extraText, plural, size, thousands } from '../../core/figures.js';
import type { StageResult } from '../../loop/har/layout.js';
import type { CheckedLoop } from '../../loop/operate/check.js';
import type { InstalledLoop } from '../../loop/operate/install.js';
import type { ListedLoop, ListedLoops } from '../../loop/operate/list.js';
import type { LoopResult } from '../../loop/run/result.js';
import type { LoopStatus } from '../../loop/status.js';
import type { Answer } from '../../loop/types.js';
import { plotText, type Series } from './chart.js';
import {
  bar,
  bold,
  clipped,
  cyan,
  dim,
  facts,
  green,
  minute,
  moment,
  red,
  table,
  timeOfDay,
  yellow,
} from './text.js';

/** The data shown in a live view. */
interface LoopView {
  status: LoopStatus;
  series: readonly Series[];
  classes: readonly string[];
  answer: Answer | null;
  /** Time when the current smoothed class began, ms since 1970. */
  since: number | null;
  /** Histogram of latencies, with bins of equal width on a logarithmic scale over `spreadMs`. */
  spread: readonly number[];
}

/** Range of the histogram in a view, ms. */
export const spreadMs = [0.1, 1000] as const;

/** Number of bins of the histogram, one character each. */
export const spreadParts = 24;

/** Maximum number of classes with a bar. The classes with the highest probabilities are shown. */
const mostBars = 8;

/** One frame of the live view: lines that fit into the terminal. */
export function loopFrame(view: LoopView, columns: number, rows: number): string[] {
  const { status, series } = view;
  const width = Math.min(100, columns) - 1;
  const below = [
    ...bars(view, width),
    answered(view),
    ...others(view),
    measured(status),
    latency(view),
    ...outputs(status),
  ].filter((line) => line !== null);
  const free = rows - below.length - 3;
  const height = Math.min(4, Math.floor(free / Math.max(1, series.length)) - 1);
  const plot = series.length > 0 && height >= 1 ? plotText(series, width, height).split('\n') : [];
  return [heading(status), ...plot, ...below].map((line) => clipped(line, columns - 1)).slice(0, rows - 1);
}

function heading({ name, sensor, model, at, startedAt, state }: LoopStatus): string {
  const paint = state === 'running' ? green : yellow;
  const version = model?.version == null ? '' : `@${model.version}`;
  const places = { cpu: '', coral: ' on the Edge TPU', 'ai-edge-litert': ' in ai-edge-litert' };
  const of = model ? `${model.name}${version}${places[model.delegate]}` : name;
  return `${paint('●')} ${bold(of)}  ${dim(`${sensor.endpoint}  ${duration(at - startedAt)}`)}${state === 'running' ? '' : `  ${paint(state)}`}`;
}

function bars({ classes, answer }: LoopView, width: number): string[] {
  if (!answer || answer.detections || classes.length === 0) return [];
  const longest = Math.max(...classes.map(({ length }) => length));
  const cells = Math.max(8, Math.min(40, width - longest - 10));
  const one = answer.scores.length < classes.length;
  const rows = one
    ? [{ name: 'error', share: null, value: answer.value ?? 0 }]
    : classes.map((name, i) => ({ name, share: answer.scores[i] ?? 0, value: answer.scores[i] ?? 0 }));
  return rows
    .sort((a, b) => classes.indexOf(a.name) - classes.indexOf(b.name))
    .slice(0, mostBars)
    .map(({ name, share, value }) => {
      const label = name.padEnd(longest);
      const shown = name === answer.voted ? bold(label) : label;
      if (share === null) return `${shown}  ${figure(value)}`;
      return `${shown}  ${name === answer.voted ? cyan(bar(share, cells)) : dim(bar(share, cells))} ${value.toFixed(2)}`;
    });
}

function others({ answer }: LoopView): string[] {
  return answer?.extra ? [`${dim('others')}   ${extraText(answer.extra)}`] : [];
}

function answered({ answer, since, status }: LoopView): string {
  if (!answer) return `${dim('class')}    ${dim('no window yet')}`;
  const { label, voted, value, detections } = answer;
  if (detections) return `${dim('objects')}  ${bold(detectionsText(detections))}`;
  if (label === null) return `${dim('value')}    ${bold(figure(value ?? Number.NaN))}`;
  const stands = since === null ? '' : dim(`  for ${duration(status.at - since)}`);
  const vote = voted === null ? yellow('open') : `${bold(voted)}${stands}`;
  return `${dim('class')}    ${vote}${voted === label ? '' : dim(`  this window: ${label}`)}`;
}

function measured({ sensor, windows, predictions, rssMb }: LoopStatus): string {
  const { rateHz, jitterP99Ms, samples, lost, gaps, connected } = sensor;
  const rate = rateHz === null ? '–' : `${rateText(rateHz)} Hz`;
  const jitter = jitterP99Ms === null ? '' : dim(`  jitter p99 ${figure(jitterP99Ms)} ms`);
  const missing = lost + gaps === 0 ? dim('  0 lost') : yellow(`  ${count(lost)} lost, ${count(gaps)} gaps`);
  const there = connected || samples === 0 ? '' : red('  no samples');
  return `${dim('samples')}  ${rate}${jitter}${missing}${there}${dim(`  ${count(samples)} samples, ${count(windows)} windows, ${count(predictions)} predictions, ${size(rssMb * 1e6)}`)}`;
}

const levels = ' ▁▂▃▄▅▆▇█';

function latency({ status, spread }: LoopView): string | null {
  if (!status.latencyMs) return null;
  const { p50, p99 } = status.latencyMs;
  const most = Math.max(...spread);
  // Every nonzero value gets at least the smallest bar.
  const heights = spread.map((each) => (each === 0 ? 0 : Math.max(1, Math.round((each / most) * 8))));
  const picture = heights.map((height) => levels[height]).join('');
  return `${dim('latency')}  p50 ${figure(p50)} ms  p99 ${figure(p99)} ms  ${dim(`${spreadMs[0]} ms `)}${cyan(picture)}${dim(` ${spreadMs[1] / 1000} s`)}`;
}

function outputs({ outputs }: LoopStatus): string[] {
  return outputs.map(({ endpoint, connected, sent, waiting, dropped, lastError }, i) => {
    const state = connected ? green('●') : red('●');
    const rest = [
      `${count(sent)} sent`,
      ...(waiting > 0 ? [`${count(waiting)} waiting`] : []),
      ...(dropped > 0 ? [`${count(dropped)} dropped`] : []),
    ].join(', ');
    const error = !connected && lastError ? dim(`  ${lastError}`) : '';
    return `${dim(i === 0 ? 'outputs' : '       ')}  ${state} ${endpoint}  ${dim(rest)}${error}`;
  });
}

/** A prediction as a log line. */
export function answerLine({ t, label, voted, value, scores, detections, extra, latencyMs }: Answer): string {
  const others = extra ? `  ${extraText(extra)}` : '';
  if (detections)
    return `${dim(timeOfDay(t))}  ${bold(detectionsText(detections))}  ${dim(`${figure(latencyMs)} ms`)}`;
  const what = label === null ? figure(value ?? Number.NaN) : (voted ?? 'open');
  const share = label === null ? '' : `  ${dim(`${figure(Math.max(...scores))}`)}`;
  return `${dim(timeOfDay(t))}  ${bold(what)}${share}${others}  ${dim(`${figure(latencyMs)} ms`)}`;
}

/** Summary of a finished loop, or of a finished stage of the motion system. */
export function loopText(result: LoopResult | StageResult): string {
  if ('stage' in result) {
    const { stage, endpoint, taken, published, windows, lost, refused } = result;
    return facts([
      ['stage', `${stage} at ${endpoint}`],
      ['taken', count(taken)],
      ['published', count(published)],
      ['windows', count(windows)],
      ['lost', `${count(lost)}, ${count(refused)} rejected`],
    ]);
  }
  return wholeText(result);
}

function wholeText(result: LoopResult): string {
  const {
    samples,
    lost,
    rateHz,
    jitterP99Ms,
    windows,
    predictions,
    changes,
    latencyMs,
    gaps,
    model,
    recorded,
  } = result;
  const p =
    latencyMs.p50 === null || latencyMs.p99 === null
      ? '–'
      : `p50 ${figure(latencyMs.p50)} ms, p99 ${figure(latencyMs.p99)} ms`;
  const rate = rateHz === null ? '' : ` at ${rateText(rateHz)} Hz`;
  const jitter = jitterP99Ms === null ? '' : `, jitter p99 ${figure(jitterP99Ms)} ms`;
  const version = model?.version == null ? '' : `@${model.version}`;
  const lines: [string, string][] = [
    ...(model
      ? [
          [
            'model',
            `${model.name}${version}${model.swaps > 0 ? `, model replaced ${model.swaps} times` : ''}`,
          ] as [string, string],
        ]
      : []),
    ['samples', `${count(samples)}${rate}${jitter}; ${count(lost)} lost, ${count(gaps)} gaps`],
    [
      'windows',
      `${windows === 0 && samples > 0 ? '0 (stopped before the first window was full)' : count(windows)}; ${plural(predictions, 'prediction')}, ${plural(changes, 'change')}`,
    ],
    ['latency', p],
    ['memory', size(result.rssMb * 1e6)],
    ...(recorded
      ? [['recorded', `${count(recorded.samples)} samples in ${recorded.folder}`] as [string, string]]
      : []),
  ];
  const classes = Object.entries(result.classes).sort(([, a], [, b]) => b - a);
  const parts = [facts(lines)];
  if (classes.length > 0) parts.push(table(['class', 'predictions'], classes));
  if (result.outputs.length > 0) {
    const rows = result.outputs.map(({ endpoint, sent, waiting, dropped }) => [
      endpoint,
      sent,
      waiting,
      dropped,
    ]);
    parts.push(table(['output', 'sent', 'waiting in the spool', 'dropped'], rows));
  }
  return parts.join('\n\n');
}

const count = (value: number) => value.toLocaleString('en-US');
const figure = (value: number) => (Number.isFinite(value) ? String(Number(value.toPrecision(3))) : '–');

/** A measured rate, Hz, with at least three digits, and exact to a tenth: 22050, 104.2, 0.333. */
const rateText = (hz: number) => (hz < 100 ? figure(hz) : String(Number(hz.toFixed(1))));

/** A duration: 3 723 000 ms becomes `1:02:03`, with days if it exceeds one. */
function duration(ms: number): string {
  if (ms < 60_000) return elapsed(Math.max(1000, Math.floor(ms / 1000) * 1000));
  const seconds = Math.floor(ms / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  const days = Math.floor(seconds / 86_400);
  const time = `${Math.floor(seconds / 3600) % 24}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return days > 0 ? `${days} d ${time}` : time;
}

const paints = { running: green, waiting: yellow, stuck: red, stopped: dim, gone: red };

/** The loops as a table, or with `whole` all details of each. */
export function loopsText({ loops }: ListedLoops, whole: boolean): string {
  if (whole) return loops.map(cardOf).join('\n\n');
  const rows = loops.map((loop) => {
    const { status, state, name } = loop;
    return [
      name,
      paints[state](state),
      status.sensor.endpoint,
      status.sensor.rateHz === null ? null : `${status.sensor.rateHz.toFixed(1)} Hz`,
      status.model ? modelOf(status.model) : null,
      status.last ? (status.last.voted ?? status.last.label) : null,
      status.outputs.length === 0 ? null : outputsOf(loop),
      minute(loop.writtenAt),
    ];
  });
  const head = ['name', 'state', 'sensor', 'rate', 'model', 'prediction', 'outputs', 'updated (UTC)'];
  const reasons = loops
    .filter(({ state, reasons }) => state !== 'stopped' && reasons.length > 0)
    .map(({ name, reasons }) => `${yellow('!')} ${name}: ${reasons.join('; ')}`);
  return [table(head, rows), ...(reasons.length > 0 ? ['', ...reasons] : [])].join('\n');
}

/** Suggested next commands. */
export function loopsNext({ loops }: ListedLoops): string[] {
  const [first] = loops;
  const bad = loops.find(({ healthy, state }) => !healthy && state !== 'stopped');
  if (bad?.service) return [`journalctl -u aiot-loop-${bad.name}`, `aiot loop status ${bad.name}`];
  return bad
    ? [`aiot loop status ${bad.name}`, 'aiot loop check']
    : [`aiot loop status ${first?.name ?? ''}`.trim()];
}

function cardOf({ name, state, reasons, service, writtenAt, status }: ListedLoop): string {
  const { sensor, model, latencyMs, outputs, last, events } = status;
  const lines: [string, string | number][] = [
    ['loop', `${name}, ${paints[state](state)}${reasons.length > 0 ? `: ${reasons.join('; ')}` : ''}`],
    ['process', `${status.pid}${service ? ', a service' : ''}, since ${moment(status.startedAt)}`],
    ['told', moment(writtenAt)],
    ['sensor', `${sensor.endpoint}, ${sensor.connected ? green('receiving samples') : red('no samples')}`],
    [
      'rate',
      sensor.rateHz === null
        ? '–'
        : `${sensor.rateHz.toFixed(2)} Hz, jitter p99 ${sensor.jitterP99Ms?.toFixed(2) ?? '–'} ms`,
    ],
    [
      'samples',
      `${thousands(sensor.samples)}, ${thousands(sensor.lost)} lost in ${thousands(sensor.gaps)} gaps`,
    ],
    ['recovered', `${sensor.overruns} overruns, ${sensor.retries} retries, ${sensor.reconnects} reconnects`],
    [
      'model',
      model
        ? `${modelOf(model)}, from ${model.source}, on ${model.delegate}, ${model.swaps} swaps`
        : red('none'),
    ],
    ...(model?.lastError ? [['model error', model.lastError] as [string, string]] : []),
    ['answers', `${thousands(status.predictions)} of ${thousands(status.windows)} windows`],
    ['last prediction', last ? `${last.voted ?? last.label ?? '–'} at ${moment(last.t)}` : '–'],
    ['latency', latencyMs ? `p50 ${latencyMs.p50.toFixed(2)} ms, p99 ${latencyMs.p99.toFixed(2)} ms` : '–'],
    ['memory', size(status.rssMb * 1e6)],
    ...outputs.map(({ endpoint, connected, sent, waiting, dropped, lastError }): [string, string] => [
      'output',
      `${endpoint} ${connected ? green('connected') : red('offline')}, ${thousands(sent)} sent, ${thousands(waiting)} waiting, ${thousands(dropped)} dropped${lastError ? ` (${lastError})` : ''}`,
    ]),
  ];
  const past = events.slice(-20).map(({ t, text }) => `${dim(moment(t))}  ${text}`);
  return [facts(lines), ...(past.length > 0 ? ['', ...past] : [])].join('\n');
}

function modelOf({ name, version }: NonNullable<ListedLoop['status']['model']>): string {
  return version === null ? name : `${name}@${version}`;
}

function outputsOf({ status: { outputs } }: ListedLoop): string {
  const connected = outputs.filter((output) => output.connected).length;
  const waiting = outputs.reduce((sum, output) => sum + output.waiting, 0);
  return `${connected}/${outputs.length}${waiting > 0 ? `, ${thousands(waiting)} waiting` : ''}`;
}

const marks = { ok: () => green('✓'), warning: () => yellow('!'), failed: () => red('✗') };

/** One line per check, followed by the fix if there is one. */
export function checkedLoopText({ checks }: CheckedLoop): string {
  const width = Math.max(...checks.map(({ check }) => check.length));
  return checks
    .map(({ check, state, detail, next }) => {
      const advice = next === null ? '' : `\n  ${' '.repeat(width)}  ${dim('Try:')} ${next}`;
      return `${marks[state]()} ${check.padEnd(width)}  ${detail}${advice}`;
    })
    .join('\n');
}

/** The unit, its path, and notes to read before starting it. */
export function installedLoopText({ unit, file, written, secrets, cautions }: InstalledLoop): string {
  const lines = [
    unit,
    written ? green(`wrote ${file}`) : dim(`would write ${file}`),
    dim(`Put secrets into ${secrets} as NAME=VALUE lines: sudo install -m 600 /dev/null ${secrets}`),
    ...cautions.map((text) => `${yellow('!')} ${text}`),
  ];
  return lines.join('\n');
}
