import { parseDuration, systemClock } from '../../core/index.js';
import { untilEnd, within } from './ending.js';
import { runEngine } from './engine.js';
import { limitOf } from './limit.js';
import { type Opened, openParts, sensorOf } from './open.js';
import type { LoopOptions } from './options.js';
import { projectOf } from './project.js';
import type { LoopResult } from './result.js';
import { createTally, type Tally } from './tally.js';
import { type Running, rssMb, watchLoop } from './watch.js';

/** Longest wait for a part that is given up because another did not open, ms. */
const closingMs = 5000;

/**
 * Sensor → window → model → vote → outputs, until the sensor ends, the time is over, or `signal` is aborted: then what was answered
 * goes out, or to disk, and what was done is told.
 * @throws AIOT_PROJECT_INVALID, AIOT_USAGE, and what opening a model, a sensor or an output throws; what a sensor throws that is
 *   gone for good
 */
export async function runLoop(options: LoopOptions): Promise<LoopResult> {
  const { clock = systemClock, signal, onEvent, taps = [] } = options;
  const project = await projectOf(options.project, options.model);
  const { loop, name } = project.config;
  const limitMs = limitOf(options, clock.now());
  const holdMs = options.holdMs ?? (loop.hold === undefined ? 0 : parseDuration(loop.hold));
  const tally = createTally(clock);
  const tell = (text: string) => {
    tally.event(text);
    onEvent?.(text);
  };
  const running: Running = { sensor: sensorOf(options, project)?.split('?')[0] ?? 'simulated' };
  const monitor = watchLoop(name, running, tally, clock);
  try {
    const opened = await openParts(options, project, { running, clock, tell });
    const { keeper, sensing, outputs } = opened;
    const { fields, rateHz } = sensing;
    const { classes } = keeper.current().info;
    options.onOpen?.({ monitor, fields, rateHz, classes, latencies: tally.latency.spread });
    const vote = options.vote ?? loop.vote;
    const now = () => clock.now();
    const engine = runEngine({ ...opened, vote, holdMs, tally, taps, now });
    const ended = await untilEnd(engine, () => sensing.close(), { limitMs, clock, signal });
    const memory = rssMb();
    await outputs.close();
    return { ...resultOf(opened, tally), rssMb: memory, ended };
  } finally {
    running.stopped = true;
    const { keeper, sensing, outputs } = running;
    await within(closingMs, Promise.allSettled([sensing?.close(), keeper?.close(), outputs?.close()]));
  }
}

function resultOf({ sensing, keeper, outputs }: Opened, tally: Tally): Omit<LoopResult, 'rssMb' | 'ended'> {
  const { samples, lost, gaps, rateHz, jitterP99Ms } = sensing.rates();
  const { windows, predictions, changes, classes, latency } = tally;
  const { name, version, digest, source, swaps } = keeper.state();
  return {
    ...{ samples, lost, rateHz, jitterP99Ms, windows, predictions },
    latencyMs: { p50: latency.percentile(0.5), p99: latency.percentile(0.99) },
    ...{ gaps, changes },
    classes: Object.fromEntries(classes),
    model: { name, version, digest, source, swaps },
    outputs: outputs
      .states()
      .map(({ endpoint, sent, waiting, dropped }) => ({ endpoint, sent, waiting, dropped })),
    recorded: [],
  };
}
