import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pipelineStatus } from '../../src/lib/pipeline/status.js';
import { millFiles } from '../../test/support/mill.js';
import { halvesInStore, stepsOf } from '../../test/support/pipeline-store.js';
import { type Disk, mountDisk } from '../faults/disk.js';
import { handles, memory, signals } from '../faults/process.js';
import { shimOf } from '../faults/shim.js';
import { halves } from '../invariants/files.js';
import { Program } from '../process.js';
import type { Round, Scenario, World } from '../types.js';

const stepMs = 300;
/** Time limit for a run to end once all faults are over, ms. */
const endMs = 45_000;

/** A pipeline of four steps, run repeatedly on changing input, by a runner that is restarted after each failure. */
export const pipeline: Scenario = {
  name: 'pipeline',
  about: 'consecutive runs of a pipeline',
  needs: [],
  faults: {
    runner: [
      ...(['kill', 'kill-starting', 'kill-stopping', 'pause', 'handles', 'memory'] as const),
      ...(['sync-error', 'clock-ahead', 'clock-back'] as const),
    ],
    disk: ['disk-full', 'read-only'],
  },
  start: pipelineWorld,
};

async function pipelineWorld(round: Round): Promise<World> {
  const { folder, mark, report } = round;
  const dir = join(folder, 'mill');
  let program: Program | undefined;
  const disk: Disk | undefined = round.has('mounts')
    ? mountDisk(dir, 32, () => program as Program)
    : undefined;
  mkdirSync(dir, { recursive: true });
  const ran = join(folder, 'ran');
  for (const [path, text] of Object.entries(millFiles(ran))) writeFileSync(join(dir, path), text);
  const shim = round.shim === undefined ? undefined : shimOf(round.shim, folder, 7200);
  const home = { AIOT_CONFIG_DIR: join(folder, 'config'), AIOT_DATA_DIR: join(folder, 'data'), HOME: folder };
  const runner = new Program({
    name: 'pipeline run',
    args: ['pipeline', 'run', '--project', dir, '--json'],
    env: { ...process.env, ...home, AIOT_CHAOS: mark, MILL_MS: String(stepMs), ...shim?.env },
    stopped: [0, 130],
    again: 'until done',
    report,
  });
  program = runner;
  let input = 1;
  let runs = 0;
  const result = () =>
    Number(existsSync(join(dir, 'out/sum.txt')) ? readFileSync(join(dir, 'out/sum.txt')) : 0);
  const ended = async () => {
    for (const until = Date.now() + endMs; !runner.done; await delay(20))
      if (Date.now() > until) throw new Error(`no run completed: ${runner.printed().slice(-1500)}`);
    const expected = input + 10_110;
    if (result() !== expected)
      report('no acknowledged data is lost', `${result()} was published instead of ${expected}`);
    const { state } = await pipelineStatus({ dir });
    if (state !== 'done') report('no acknowledged data is lost', `the run that exited with 0 is ${state}`);
    runs++;
  };
  return {
    targets: {
      runner: { ...signals(runner), ...handles(runner), ...memory(runner), ...shim },
      disk: { ...disk },
    },
    async load(signal) {
      runner.start();
      while (!signal.aborted) {
        if (runner.done) {
          await ended();
          try {
            writeFileSync(join(dir, 'seed.txt'), String(++input));
          } catch {
            // The disk is currently full, so the same input is retried.
            input--;
          }
          runner.start();
        }
        await delay(20);
      }
    },
    async recover() {
      for (const [before, until] = [runs, Date.now() + endMs]; runs === before; await delay(20))
        if (Date.now() > until) throw new Error(`no run completed: ${runner.printed().slice(-1500)}`);
    },
    async check() {
      await ended();
      const twice = readFileSync(ran, 'utf8').trim().split('\n');
      if (twice.length < 4 * input) report('no acknowledged data is lost', `only ${twice.length} steps ran`);
    },
    async stop() {
      await runner.stop();
      for (const bad of halvesInStore(dir)) report('no partial state', bad);
      if (stepsOf(dir).length > 0)
        report('no orphan processes', `${stepsOf(dir).length} steps are still running`);
      halves(dir, report);
      disk?.remove();
    },
    acknowledged: () => runs,
    printed: () => runner.printed(),
    secrets: () => [],
    async sabotage() {
      while (!runner.done) await delay(20);
      writeFileSync(join(dir, 'out/sum.txt'), '0');
    },
  };
}
