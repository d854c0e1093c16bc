import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { FleetEvent } from '../../src/lib/device/fleet/simulate.js';
import { root } from '../harness/process.js';

export interface FleetProcess {
  child: ChildProcess;
  enlisted: Extract<FleetEvent, { event: 'enlisted' }>;
  connected: Extract<FleetEvent, { event: 'connected' }>;
  /** The newest summary. */
  last(): Extract<FleetEvent, { event: 'summary' | 'stopped' }> | null;
  stop(): Promise<Extract<FleetEvent, { event: 'stopped' }>>;
}

/** Starts the built program's `aiot fleet simulate` as a separate process. Resolves once all of its devices are connected. */
export async function startFleetProcess(folder: string, args: readonly string[]): Promise<FleetProcess> {
  const child = spawn(
    process.execPath,
    [join(root, 'bin', 'run.js'), 'fleet', 'simulate', '--type', 'esp32', '--seed', '7', '--json', ...args],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, AIOT_CONFIG_DIR: join(folder, 'config') },
    },
  );
  let enlisted: FleetProcess['enlisted'] | undefined;
  let last: ReturnType<FleetProcess['last']> = null;
  let onConnected: (event: FleetProcess['connected']) => void;
  let onGone: (error: Error) => void;
  const connected = new Promise<FleetProcess['connected']>((resolve, reject) => {
    onConnected = resolve;
    onGone = reject;
  });
  child.once('exit', (code) => onGone(new Error(`the fleet exited with ${code}`)));
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const event = JSON.parse(line) as FleetEvent;
    if (event.event === 'enlisted') enlisted = event;
    else if (event.event === 'connected') onConnected(event);
    else if (event.event === 'summary' || event.event === 'stopped') last = event;
  });
  const came = await connected;
  return {
    ...{ child, connected: came, enlisted: enlisted! },
    last: () => last,
    async stop() {
      const gone = once(child, 'close');
      child.kill('SIGTERM');
      await gone;
      return last as Extract<FleetEvent, { event: 'stopped' }>;
    },
  };
}
