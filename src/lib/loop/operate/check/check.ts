import { z } from 'zod';
import { bytesOf, type Project } from '../../../core/index.js';
import type { StreamOptions } from '../../../stream/index.js';
import { contractOf, projectOf } from '../../run/project.js';
import type { SensingContract } from '../../sense/index.js';
import { listLoops } from '../list.js';
import { loopFolder } from '../place.js';
import { type CheckLine, checkLineSchema, failed, failedBy, ok, warning } from './line.js';
import { checkClock, checkDisk } from './machine.js';
import { checkOutputs } from './outputs.js';
import { checkRate, checkReach } from './sensor.js';

export interface CheckLoopOptions {
  project: string;
  name?: string | undefined;
  sensor?: string | undefined;
  simulate?: boolean | undefined;
  model?: string | undefined;
  delegate?: 'cpu' | 'coral' | undefined;
  out?: readonly string[] | undefined;
  context?: string | undefined;
  stream?: StreamOptions | undefined;
  /** How long the sensor is listened to. */
  seconds: number;
  signal?: AbortSignal | undefined;
  onStep?: ((text: string) => void) | undefined;
}

export const checkedLoopSchema = z.object({
  name: z.string(),
  /** Nothing failed. */
  ok: z.boolean(),
  checks: z.array(checkLineSchema),
});
export type CheckedLoop = z.output<typeof checkedLoopSchema>;

/**
 * Looks at all that a loop needs, in the order in which it needs it; changes nothing, and sends nothing.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_INTERRUPTED: all else is a line
 */
export async function checkLoop(options: CheckLoopOptions): Promise<CheckedLoop> {
  const { onStep = () => {}, simulate = false } = options;
  const project = await projectOf(options.project, options.model);
  const { loop } = project.config;
  const name = options.name ?? project.config.name;
  const sensor = options.sensor ?? (simulate ? undefined : loop.sensor);
  const outputs = options.out ?? loop.out;
  onStep('the model');
  const { line: model, contract } = await checkModel(options, project);
  const checks: CheckLine[] = [];
  const busy = await runningLine(name);
  if (busy) checks.push(busy);
  if (sensor === undefined && !simulate) {
    checks.push(
      failed(
        'sensor',
        'no sensor is named',
        "Name one: --sensor 'i2c://1/lsm6ds3tr-c', or loop.sensor in aiot.yaml; or try with --simulate",
      ),
    );
  } else if (!busy) {
    onStep('the sensor');
    const reach = sensor === undefined ? [] : await checkReach(sensor);
    checks.push(...reach);
    const reached = reach.every(({ state }) => state !== 'failed');
    if (reached && contract) {
      // A chip's own rate is measured by then, and this one says the same and more.
      const known = checks.findIndex(({ check, state }) => check === 'rate' && state === 'ok');
      if (known >= 0) checks.splice(known, 1);
      checks.push(...(await checkRate(sensingOf(options, project, sensor, contract), options.seconds)));
    }
  }
  checks.push(model);
  onStep('the outputs');
  checks.push(...(await checkOutputs(outputs, options.stream ?? {})));
  checks.push(await checkDisk(loopFolder(name), bytesOf(loop.spool) * outputs.length));
  checks.push(await checkClock(Date.now()));
  return { name, ok: checks.every(({ state }) => state !== 'failed'), checks };
}

function sensingOf(
  { stream, signal, simulate }: CheckLoopOptions,
  project: Project,
  sensor: string | undefined,
  contract: SensingContract,
) {
  return {
    contract,
    ...(sensor === undefined ? {} : { sensor }),
    ...(simulate ? { simulate: { project } } : {}),
    ...(stream ? { stream } : {}),
    ...(signal ? { signal } : {}),
    baseFolder: project.dir,
  };
}

/** The model, tried as the loop would; and what it wants of the sensor. */
async function checkModel(
  options: CheckLoopOptions,
  project: Project,
): Promise<{ line: CheckLine; contract: SensingContract | undefined }> {
  const { model: reference, simulate, delegate, context, signal, onStep } = options;
  try {
    const { openModel } = await import('../../model/index.js');
    const fields = Object.keys(project.config.stream.fields).length;
    const keeper = await openModel({
      reference,
      project: fields > 0 || reference === undefined ? project : null,
      simulate,
      delegate,
      context,
      signal,
      onStep,
    });
    try {
      const { name, version, source } = keeper.state();
      const { info, delegate: on } = keeper.current();
      const what = `${version === null ? name : `${name}@${version}`} (${source}) on ${on}`;
      const classes = info.classes.length > 0 ? `; ${info.classes.join(', ')}` : '';
      return {
        line: ok('model', `${what}, its golden vectors are right${classes}`),
        contract: contractOf(project, info),
      };
    } finally {
      await keeper.close();
    }
  } catch (error) {
    signal?.throwIfAborted();
    return { line: failedBy('model', error), contract: contractOfStream(project) };
  }
}

/** What the project says of its stream, where there is no model that would. */
function contractOfStream({ config }: Project): SensingContract | undefined {
  const fields = Object.entries(config.stream.fields).map(([name, { unit = '' }]) => ({ name, unit }));
  return fields.length > 0 ? { fields, rateHz: config.signal.rate } : undefined;
}

/** A sensor is read by one: what a running loop has is not to be taken from it. */
async function runningLine(name: string): Promise<CheckLine | undefined> {
  const { loops } = await listLoops({ name }).catch(() => ({ loops: [] }));
  const found = loops.find(({ state }) => state === 'running' || state === 'waiting' || state === 'stuck');
  if (!found) return undefined;
  return warning(
    'loop',
    `${name} is running (pid ${found.status.pid}): its sensor is not touched`,
    `aiot loop status ${name} tells how it is; end it to look at the sensor.`,
  );
}
