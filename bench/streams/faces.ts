// Cost of face detection: a camera with 10 frames per second, 640 × 480, through the detector to a file and to Mosquitto. Measures the
// CPU time of our process after startup, without its ffmpeg, as a share of one core.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startMosquitto } from '../../test/support/mosquitto.js';
import { root } from '../harness/process.js';
import { cpuOf } from './consumer.js';

/** Limit as a share of one core. */
export const mostOfCore = 0.15;

export interface FacesShare {
  to: 'file' | 'mqtt';
  /** Share of one core, for each round. */
  shares: number[];
}

/** @throws if the route ends on its own, for example because ffmpeg or the picture is missing */
export async function facesShares(options: { rounds: number; quick: boolean }): Promise<FacesShare[]> {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-faces-'));
  const broker = await startMosquitto();
  const targets = [
    { to: 'file', url: `file:${join(folder, 'faces.ndjson')}` },
    { to: 'mqtt', url: `mqtt://127.0.0.1:${broker.port}/faces` },
  ] as const;
  try {
    const shares: FacesShare[] = [];
    for (const { to, url } of options.quick ? targets.slice(0, 1) : targets) {
      const rounds: number[] = [];
      for (let round = 0; round < options.rounds; round++)
        rounds.push(await shareOf(join(folder, 'route.yaml'), url, options.quick ? 5 : 20));
      shares.push({ to, shares: rounds });
    }
    return shares;
  } finally {
    await broker.stop();
  }
}

async function shareOf(file: string, to: string, seconds: number): Promise<number> {
  const picture = join(root, '.venv', 'pictures', 'astronaut.png');
  const route = {
    from: `camera:${picture}?fps=10&format=rgb&size=640x480&loop`,
    through: { faces: { every: '0s' } },
    to,
  };
  writeFileSync(file, JSON.stringify({ routes: { faces: route } }));
  const child = spawn(process.execPath, [join(root, 'bin', 'run.js'), 'stream', 'route', 'run', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  // The network's code is compiled during this time.
  await delay(4000);
  const [began, before] = [performance.now(), await cpuOf(child.pid)];
  await delay(seconds * 1000);
  const [after, took] = [await cpuOf(child.pid), (performance.now() - began) / 1000];
  if (child.exitCode !== null) throw new Error(`the route ended: ${said}`);
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
  return (after - before) / took;
}
