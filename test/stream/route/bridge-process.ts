import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { root } from '../../support/cli.js';

/** A bridge in a separate process, which a test can kill. */
export interface BridgeProcess {
  /** Resolves when the bridge is running. */
  ready: Promise<void>;
  output: () => string;
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export function startBridge(words: readonly string[], environment: Record<string, string>): BridgeProcess {
  return startStream(['bridge', ...words], environment);
}

/** Starts the routes of a file in a separate process. */
export function startRoutes(file: string, environment: Record<string, string>): BridgeProcess {
  return startStream(['route', 'run', file], environment);
}

function startStream(words: readonly string[], environment: Record<string, string>): BridgeProcess {
  const child: ChildProcess = spawn(process.execPath, ['bin/dev.js', 'stream', ...words], {
    cwd: root,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let bridging = () => {};
  const ready = new Promise<void>((resolve, reject) => {
    bridging = resolve;
    child.once('exit', () => reject(new Error(`the bridge ended:\n${output}`)));
  });
  ready.catch(() => {});
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output += chunk;
      if (/Bridging |running\. Press/.test(output)) bridging();
    });
  }
  return {
    ready,
    output: () => output,
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
      return child.exitCode;
    },
  };
}
