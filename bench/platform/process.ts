import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from '../harness/process.js';

export interface PlatformProcess {
  child: ChildProcess;
  urls: { http: string; mqtts: string; mqtt?: string };
  /** PEM file of the CA; folder that contains it and the server's certificate. */
  ca: string;
  pki: string;
  token: string;
  stop(): Promise<void>;
}

/** Starts the built program's `aiot up` on free ports, in its own folder. */
export async function startPlatformProcess(
  folder: string,
  args: readonly string[] = [],
): Promise<PlatformProcess> {
  const data = join(folder, 'platform');
  const ports = ['--http-port', '0', '--mqtt-port', '0', '--plain', '--plain-port', '0'];
  const child = spawn(
    process.execPath,
    [join(root, 'bin', 'run.js'), 'up', '--data', data, ...ports, '--json', ...args],
    { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, AIOT_CONFIG_DIR: join(folder, 'config') } },
  );
  for await (const line of createInterface({ input: child.stdout! })) {
    const { urls, ca, token } = JSON.parse(line) as PlatformProcess;
    if (!ca) throw new Error(`the platform did not start: ${line}`);
    return {
      ...{ child, urls, ca, token, pki: join(data, 'pki') },
      async stop() {
        const gone = once(child, 'exit');
        child.kill('SIGTERM');
        const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
        await gone;
        clearTimeout(timer);
      },
    };
  }
  throw new Error('the platform did not start');
}
