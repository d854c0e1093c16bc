import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { bytesOf, type Clock, dataFolder, type Project } from '../../core/index.js';
import type { ModelKeeper } from '../model-types.js';
import type { Outputs, Sensing } from '../types.js';
import type { LoopOptions } from './options.js';
import { realParts } from './parts.js';
import { contractOf } from './project.js';
import type { Running } from './watch.js';

/** The parts of a loop, open. */
export interface Opened {
  keeper: ModelKeeper;
  sensing: Sensing;
  outputs: Outputs;
}

/**
 * Model first: it says what the sensor has to give. What is open already stands in `running`, whatever throws.
 * @throws what opening them throws
 */
export async function openParts(
  options: LoopOptions,
  project: Project,
  { running, clock, tell }: { running: Running; clock: Clock; tell: (text: string) => void },
): Promise<Opened> {
  const parts = { ...realParts, ...options.parts };
  const { signal, simulate, stream = {}, patient = false } = options;
  const { loop, name, stream: contract } = project.config;
  const own = signal ? { clock, signal } : { clock };
  const keeper = await parts.models({
    ...own,
    reference: options.model,
    project: Object.keys(contract.fields).length > 0 || options.model === undefined ? project : null,
    simulate,
    delegate: options.delegate,
    context: options.context,
    onEvent: (event) => tell(event.text),
    onStep: options.onStep,
  });
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
    urls: options.out ?? loop.out,
    send: options.send ?? loop.send,
    spoolFolder: join(dataFolder(), 'loop', name, 'spool'),
    spoolLimit: bytesOf(loop.spool),
    device: hostname(),
    onEvent: tell,
    streamOptions: stream,
  });
  running.outputs = outputs;
  return { keeper, sensing, outputs };
}

/** Where samples come from; undefined: from the simulator, if one is wanted. */
export function sensorOf({ sensor, simulate }: LoopOptions, { config }: Project): string | undefined {
  return sensor ?? (simulate ? undefined : config.loop.sensor);
}

/** Where a `file:` without a slash at its start is looked for: here, where a flag names it, or else in the project's folder. */
async function baseOf({ sensor }: LoopOptions, { dir }: Project): Promise<string> {
  if (sensor === undefined) return dir;
  const path = /^file:(?:\/\/)?([^?]*)/i.exec(sensor)?.[1] ?? '';
  return (await stat(path).catch(() => null)) ? process.cwd() : dir;
}
