import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as z from 'zod';
import { bytesOf, size } from '../../core/figures.js';
import { runProgram } from '../../core/process.js';
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
  /** How long the sensor is observed. */
  seconds: number;
  signal?: AbortSignal | undefined;
  onStep?: ((text: string) => void) | undefined;
}

export const checkedLoopSchema = z.object({
  name: z.string(),
  /** Whether nothing failed. */
  ok: z.boolean(),
  checks: z.array(checkLineSchema),
});

export type CheckedLoop = z.output<typeof checkedLoopSchema>;

/**
 * Checks everything that a loop needs, in the order of its use, without changing or sending anything.
 * @throws AIOT_PROJECT_NOT_FOUND, AIOT_PROJECT_INVALID, AIOT_INTERRUPTED; every other problem becomes a line of the result
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
        'no sensor is specified',
        "Specify one with --sensor 'i2c://1/lsm6ds3tr-c' or loop.sensor in aiot.yaml, or use --simulate.",
      ),
    );
  } else if (!busy) {
    onStep('the sensor');
    const reach = sensor === undefined ? [] : await checkReach(sensor);
    checks.push(...reach);
    const reached = reach.every(({ state }) => state !== 'failed');
    if (reached && contract) {
      // The check of the bus has already measured a chip's rate. The line of `checkRate` includes that information, so it replaces the
      // earlier line.
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

/** Checks the model as the loop would; also returns its requirements for the sensor. */
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
        line: ok('model', `${what}, all test vectors give the expected results${classes}`),
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

/** The project's description of its stream, if there is no model to provide it. */
function contractOfStream({ config }: Project): SensingContract | undefined {
  const fields = Object.entries(config.stream.fields).map(([name, { unit = '' }]) => ({ name, unit }));
  return fields.length > 0 ? { fields, rateHz: config.signal.rate } : undefined;
}

/** If the loop is running, the sensor is not checked, because it can have only one reader. */
async function runningLine(name: string): Promise<CheckLine | undefined> {
  const { loops } = await listLoops({ name }).catch(() => ({ loops: [] }));
  const found = loops.find(({ state }) => state === 'running' || state === 'waiting' || state === 'stuck');
  if (!found) return undefined;
  return warning(
    'loop',
    `${name} is running (pid ${found.status.pid}), so its sensor was not tested`,
    `To see its state, run \`aiot loop status ${name}\`. To test the sensor, stop the loop.`,
  );
}

/** Minimum free disk space, bytes. With less, the whole machine may malfunction. */
const leastBytes = 50 * 1024 ** 2;

/** Checks that there is room for the spools of the outputs. @param wantedBytes the sum of their limits */
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
      `${there} is not writable`,
      "Give the loop's user write access, or set AIOT_DATA_DIR to another folder.",
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
      `${detail}; the spool for outputs may need ${size(wantedBytes)}`,
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

/** Clock times before this one are wrong. A Pi's clock has no battery, so it may show any such time until the network sets it. */
const builtAfter = Date.UTC(2025, 0, 1);

/** Checks the clock. @param synchronized the system's report; undefined = none */
export async function checkClock(
  now: number,
  synchronized: () => Promise<boolean | undefined> = askSystem,
): Promise<CheckLine> {
  const time = new Date(now).toISOString();
  if (now < builtAfter) {
    return failed(
      'clock',
      `the clock shows ${time}`,
      'Set the clock: sudo timedatectl set-ntp true (with a network), or sudo date -s TIME',
    );
  }
  const known = await synchronized();
  if (known) return ok('clock', `synchronized, ${time}`);
  const detail =
    known === undefined
      ? `${time}; this machine does not report whether its clock is synchronized`
      : `${time}, not synchronized`;
  return warning(
    'clock',
    detail,
    'Predictions continue, but their times may jump when the clock is set. Run `sudo timedatectl set-ntp true`, or add a real-time clock (RTC).',
  );
}

/** Looks for systemd-timesyncd's marker file, or asks timedatectl, which covers any other service that sets the clock. */
async function askSystem(): Promise<boolean | undefined> {
  const marked = await access('/run/systemd/timesync/synchronized').then(
    () => true,
    () => false,
  );
  if (marked) return true;
  try {
    const words = ['show', '--property=NTPSynchronized', '--value'];
    const { code, stdout } = await runProgram('timedatectl', words, { timeoutMs: 3000 });
    return code === 0 ? stdout.trim() === 'yes' : undefined;
  } catch {
    return undefined;
  }
}
