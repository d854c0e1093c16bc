import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { bytesOf } from '../../core/figures.js';
import type { Project } from '../../core/project.js';
import type { Clock } from '../../core/time.js';
import type { ModelOptions } from '../model/options.js';
import type { ModelKeeper, Outputs, Sensing } from '../types.js';
import { contractOf, type LoopOptions, realParts } from './options.js';
import type { Running } from './tally.js';

/** The parts of a loop after they have been opened. */
export interface Opened {
  keeper: ModelKeeper;
  sensing: Sensing;
  outputs: Outputs;
}

/**
 * Opens the model first, because it determines what the sensor has to provide. Each opened part is added to `running`, so that the caller
 * can close it even if this function throws.
 * @throws the errors of opening them
 */
export async function openParts(
  options: LoopOptions,
  project: Project,
  { running, clock, tell }: { running: Running; clock: Clock; tell: (text: string) => void },
): Promise<Opened> {
  const parts = { ...realParts, ...options.parts };
  const { signal, simulate, stream = {}, patient = false } = options;
  const { loop } = project.config;
  const own = signal ? { clock, signal } : { clock };
  const keeper = await parts.models(modelOptions(options, project, tell));
  running.keeper = keeper;
  const sensing = await parts.sensing({
    ...own,
    sensor: sensorOf(options, project),
    contract: contractOf(project, keeper.current().info),
    simulate: simulate ? { project } : undefined,
    stream,
    onEvent: (event) => tell(event.text),
    patient,
    baseFolder: await baseOf(options, project),
  });
  running.sensing = sensing;
  const outputs = await parts.outputs({
    clock,
    urls: outputsOf(options, project, tell),
    send: options.send ?? loop.send,
    spoolFolder: running.spool,
    spoolLimit: bytesOf(loop.spool),
    device: hostname(),
    onEvent: tell,
    streamOptions: stream,
  });
  running.outputs = outputs;
  return { keeper, sensing, outputs };
}

/** Options for opening the model. A model that is given by name or file does not need a project to define its fields. */
export function modelOptions(
  options: LoopOptions,
  project: Project,
  tell: (text: string) => void,
): ModelOptions {
  const { model: reference, simulate, delegate, context, onStep, signal } = options;
  const said = Object.keys(project.config.stream.fields).length > 0 || reference === undefined;
  return {
    ...{ reference, simulate, delegate, context, onStep, signal },
    project: said ? project : null,
    onEvent: ({ text }) => tell(text),
  };
}

/** Source of the samples; undefined: the simulator, if requested. */
export function sensorOf({ sensor, simulate }: LoopOptions, { config }: Project): string | undefined {
  return sensor ?? (simulate ? undefined : config.loop.sensor);
}

/** The addresses of the outputs. Predictions for a simulated sensor go only to outputs given by flags, never to those of the project. */
export function outputsOf(
  { out, simulate, sensor }: LoopOptions,
  { config: { loop } }: Project,
  tell: (text: string) => void,
): readonly string[] {
  if (out !== undefined || !simulate || sensor !== undefined) return out ?? loop.out;
  if (loop.out.length > 0)
    tell('the sensor is simulated: nothing is sent to the outputs in aiot.yaml; specify others with --out');
  return [];
}

/** Folder for relative `file:` paths: the current folder if a flag contains the path, otherwise the project's folder. */
export async function baseOf({ sensor }: LoopOptions, { dir }: Project): Promise<string> {
  if (sensor === undefined) return dir;
  const path = /^file:(?:\/\/)?([^?]*)/i.exec(sensor)?.[1] ?? '';
  return (await stat(path).catch(() => null)) ? process.cwd() : dir;
}
