import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import * as z from 'zod';
import { bytesOf, size } from '../../core/figures.js';
import type { Project } from '../../core/project.js';
import type { StreamOptions } from '../../stream/message.js';
import { contractOf, projectOf } from '../run/options.js';
import type { SensingContract } from '../sense/types.js';
import {
  type CheckLine,
  checkLineSchema,
  checkOutputs,
  checkRate,
  checkReach,
  failed,
  failedBy,
  ok,
  warning,
} from './check-devices.js';
import { listLoops } from './list.js';
import { loopFolder } from './state.js';

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
    const { openModel } = await import('../model/open-model.js');
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

/** Below this nothing else on the machine works well either. */
const leastBytes = 50 * 1024 ** 2;

/** Whether there is room for what waits for outputs. @param wantedBytes the limits of all of them */
export async function checkDisk(folder: string, wantedBytes: number): Promise<CheckLine> {
  const there = await existing(folder);
  const may =
    (await stat(there)).isDirectory() &&
    (await access(there, constants.W_OK).then(
      () => true,
      () => false,
    ));
  if (!may) {
    return failed(
      'disk',
      `${there} cannot be written`,
      'Give it to the user of the loop, or set AIOT_DATA_DIR to another folder.',
    );
  }
  const { bavail, bsize } = await statfs(there);
  const free = bavail * bsize;
  const detail = `${size(free)} free for ${folder}`;
  const next = 'Free some space, or set AIOT_DATA_DIR to a folder on another disk.';
  if (free < leastBytes) return failed('disk', detail, next);
  if (free < leastBytes + wantedBytes) {
    return warning(
      'disk',
      `${detail}; what waits for outputs may take ${size(wantedBytes)}`,
      `${next} Or lower loop.spool in aiot.yaml.`,
    );
  }
  return ok('disk', detail);
}

async function existing(path: string): Promise<string> {
  const there = await access(path).then(
    () => true,
    () => false,
  );
  return there || dirname(path) === path ? path : existing(dirname(path));
}

/** A Pi has no battery for its clock: before the network has told the time, it is that of the last shutdown. */
const builtAfter = Date.UTC(2025, 0, 1);

/** Whether the clock is right. @param synchronized what the system says of it; undefined = nothing */
export async function checkClock(
  now: number,
  synchronized: () => Promise<boolean | undefined> = askSystem,
): Promise<CheckLine> {
  const time = new Date(now).toISOString();
  if (now < builtAfter) {
    return failed(
      'clock',
      `it says ${time}`,
      'Set it: sudo timedatectl set-ntp true, and a network; without one: sudo date -s TIME',
    );
  }
  const known = await synchronized();
  if (known) return ok('clock', `synchronized, ${time}`);
  const detail =
    known === undefined ? `${time}; nobody here says whether that is right` : `${time}, not synchronized`;
  return warning(
    'clock',
    detail,
    'Answers are counted on all the same; their times may jump when it is set. sudo timedatectl set-ntp true, or a clock of its own (RTC).',
  );
}

/** systemd-timesyncd's own mark, or what timedatectl says of whichever service sets the clock. */
async function askSystem(): Promise<boolean | undefined> {
  const marked = await access('/run/systemd/timesync/synchronized').then(
    () => true,
    () => false,
  );
  if (marked) return true;
  try {
    const words = ['show', '--property=NTPSynchronized', '--value'];
    const { stdout } = await promisify(execFile)('timedatectl', words, { timeout: 3000 });
    return stdout.trim() === 'yes';
  } catch {
    return undefined;
  }
}
