import { size, thousands } from '../../core/index.js';
import type { ListedLoop, ListedLoops } from '../../loop/operate/index.js';
import { dim, green, red, yellow } from './style.js';
import { facts, table } from './text.js';
import { minute, moment } from './time.js';

const paints = { running: green, waiting: yellow, stuck: red, stopped: dim, gone: red };

/** A table; of one loop all that is known. */
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
  const head = ['name', 'state', 'sensor', 'rate', 'model', 'answer', 'outputs', 'told (UTC)'];
  const reasons = loops
    .filter(({ state, reasons }) => state !== 'stopped' && reasons.length > 0)
    .map(({ name, reasons }) => `${yellow('!')} ${name}: ${reasons.join('; ')}`);
  return [table(head, rows), ...(reasons.length > 0 ? ['', ...reasons] : [])].join('\n');
}

/** What to type next. */
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
    ['sensor', `${sensor.endpoint}, ${sensor.connected ? green('samples come') : red('no samples')}`],
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
    ['mended', `${sensor.overruns} overruns, ${sensor.retries} retries, ${sensor.reconnects} reconnects`],
    [
      'model',
      model
        ? `${modelOf(model)}, from ${model.source}, on ${model.delegate}, ${model.swaps} swaps`
        : red('none'),
    ],
    ...(model?.lastError ? [['model error', model.lastError] as [string, string]] : []),
    ['answers', `${thousands(status.predictions)} of ${thousands(status.windows)} windows`],
    ['last answer', last ? `${last.voted ?? last.label ?? '–'} at ${moment(last.t)}` : '–'],
    ['latency', latencyMs ? `p50 ${latencyMs.p50.toFixed(2)} ms, p99 ${latencyMs.p99.toFixed(2)} ms` : '–'],
    ['memory', size(status.rssMb * 1e6)],
    ...outputs.map(({ endpoint, connected, sent, waiting, dropped, lastError }): [string, string] => [
      'output',
      `${endpoint} ${connected ? green('connected') : red('away')}, ${thousands(sent)} sent, ${thousands(waiting)} waiting, ${thousands(dropped)} dropped${lastError ? ` (${lastError})` : ''}`,
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
