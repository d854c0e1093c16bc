import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collectGarbage, keepHeapSmall, type Project, parseDuration, systemClock } from '../../core/index.js';
import type { StageResult } from '../har/index.js';
import { loopFolder, operate } from '../operate/index.js';
import { createVote } from '../vote/index.js';
import { untilEnd, within } from './ending.js';
import { runEngine } from './engine.js';
import { limitOf } from './limit.js';
import { type Lookers, openLookers } from './lookers.js';
import { type Opened, openParts, sensorOf } from './open.js';
import type { LoopOptions } from './options.js';
import { projectOf } from './project.js';
import type { LoopResult } from './result.js';
import { createTally, type Tally } from './tally.js';
import { type Running, rssMb, watchLoop } from './watch.js';

/** Longest wait for a part that is given up because another did not open, ms. */
const closingMs = 5000;

/** A loop, or one stage of the motion system. @throws what `runLoop` and `runStage` throw */
export async function startLoop(options: LoopOptions): Promise<LoopResult | StageResult> {
  if (options.stage === undefined) return await runLoop(options);
  const { runLoopStage } = await import('./stage.js');
  // The stages know what they need; a project may say more.
  return await runLoopStage(options, await projectOf(options.project, options.model ?? options.stage));
}

/**
 * Sensor → window → model → vote → outputs, until the sensor ends, the time is over, or `signal` is aborted: then what was answered
 * goes out, or to disk, and what was done is told.
 * @throws AIOT_PROJECT_INVALID, AIOT_LOOP_RUNNING, AIOT_USAGE, and what opening a model, a sensor or an output throws; what a sensor
 *   throws that is gone for good
 */
export async function runLoop(options: LoopOptions): Promise<LoopResult> {
  const { clock = systemClock, onEvent } = options;
  const project = await projectOf(options.project, options.model);
  const limitMs = limitOf(options, clock.now());
  const { vote, holdMs } = votingOf(options, project);
  // Refused before anything is opened.
  if (vote !== undefined) createVote(vote, holdMs);
  const name = options.name ?? project.config.name;
  // What is made up is nobody's service: it holds no name, and leaves nothing behind.
  const transient = options.transient ?? options.simulate ?? false;
  const spool = transient ? await mkdtemp(join(tmpdir(), 'aiot-loop-')) : join(loopFolder(name), 'spool');
  const running: Running = { sensor: sensorOf(options, project)?.split('?')[0] ?? 'simulated', spool };
  const tally = createTally(clock);
  const tell = (text: string) => {
    tally.event(text);
    onEvent?.(text);
  };
  const monitor = watchLoop(name, running, tally, clock);
  const operation = await operate(monitor, { name, listen: options.listen, transient, onEvent: tell });
  try {
    const around = { running, tally, tell, monitor, limitMs };
    if (project.config.loop.through === undefined) return await runParts(options, project, around);
    const { runPictures } = await import('./pictures.js');
    return await runPictures(options, project, around);
  } finally {
    running.stopped = true;
    const { keeper, sensing, outputs } = running;
    await within(closingMs, Promise.allSettled([sensing?.close(), keeper?.close(), outputs?.close()]));
    await operation.close();
    if (transient) await rm(spool, { recursive: true, force: true });
  }
}

/** What a loop has around it while its parts run. */
export interface Around {
  running: Running;
  tally: Tally;
  tell: (text: string) => void;
  monitor: ReturnType<typeof watchLoop>;
  limitMs: number | null;
}

async function runParts(
  options: LoopOptions,
  project: Project,
  { running, tally, tell, monitor, limitMs }: Around,
): Promise<LoopResult> {
  const { clock = systemClock, signal } = options;
  const { vote, holdMs } = votingOf(options, project);
  const opened = await openParts(options, project, { running, clock, tell });
  const { keeper, sensing, outputs } = opened;
  const lookers = await openLookers(options, project, opened, tell);
  keepHeapSmall();
  collectGarbage();
  const { fields, rateHz } = sensing;
  const { classes } = keeper.current().info;
  const { teacher, taps } = lookers;
  options.onOpen?.({ monitor, fields, rateHz, classes, teacher, latencies: tally.latency.spread });
  const now = () => clock.now();
  try {
    const engine = runEngine({ ...opened, vote, holdMs, tally, taps, now });
    const ended = await untilEnd(engine, () => sensing.close(), { limitMs, clock, signal });
    const memory = rssMb();
    await lookers.close();
    await outputs.close();
    return { ...resultOf(opened, tally, lookers), rssMb: memory, ended };
  } finally {
    await lookers.close();
  }
}

/** @throws AIOT_USAGE */
function votingOf(options: LoopOptions, { config: { loop } }: Project) {
  const holdMs = options.holdMs ?? (loop.hold === undefined ? 0 : parseDuration(loop.hold));
  return { vote: options.vote ?? loop.vote, holdMs };
}

function resultOf(
  { sensing, keeper, outputs }: Opened,
  tally: Tally,
  { recorder }: Lookers,
): Omit<LoopResult, 'rssMb' | 'ended'> {
  const { samples, lost, gaps, rateHz, jitterP99Ms } = sensing.rates();
  const { windows, predictions, changes, classes, latency } = tally;
  const { name, version, digest, source, swaps } = keeper.state();
  return {
    ...{ samples, lost, rateHz: rounded(rateHz), jitterP99Ms: rounded(jitterP99Ms), windows, predictions },
    latencyMs: { p50: latency.percentile(0.5), p99: latency.percentile(0.99) },
    ...{ gaps, changes },
    classes: Object.fromEntries(classes),
    model: { name, version, digest, source, swaps },
    outputs: outputs
      .states()
      .map(({ endpoint, sent, waiting, dropped }) => ({ endpoint, sent, waiting, dropped })),
    recorded: recorder?.kept() ?? null,
  };
}

const rounded = (value: number | null) => value && Number(value.toPrecision(6));
