import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { root } from './cli.js';
import { freePort } from './free-port.js';
import { endProgram } from './programs.js';

/** The program built by scripts/parts/versitygw.sh. The chaos runs use this file, so it does not import real.ts, which imports Vitest. */
export const versitygwProgram = join(root, '.venv', 'versitygw', 'bin', 'versitygw');

export interface S3Server {
  /** Base URL, such as http://127.0.0.1:9000. */
  url: string;
  accessKey: string;
  secretKey: string;
  /** Folder that contains a folder for each bucket, with the objects as files (versitygw). */
  folder: string;
  makeBucket(name: string): Promise<void>;
  kill(): Promise<void>;
  /** Restarts at the same address with the previous data. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts versitygw for a folder. It checks signatures, and stores objects as plain files. */
export async function startVersitygw(): Promise<S3Server> {
  const keys = { accessKey: 'aiot-tests', secretKey: 'not-a-secret-0' };
  const folder = await mkdtemp(join(tmpdir(), 'aiot-s3-'));
  const port = await freePort();
  return server({
    folder,
    port,
    keys,
    makeBucket: (name) => mkdir(join(folder, name)).then(() => {}),
    program: versitygwProgram,
    args: [
      '--access',
      keys.accessKey,
      '--secret',
      keys.secretKey,
      '--port',
      `127.0.0.1:${port}`,
      'posix',
      folder,
    ],
  });
}

/** Starts moto from PyPI, an independent in-memory S3 implementation that does not check signatures. */
export async function startMoto(): Promise<S3Server> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-moto-'));
  const port = await freePort();
  return server({
    folder,
    port,
    keys: { accessKey: 'any', secretKey: 'any' },
    makeBucket: async (name) => {
      await fetch(`http://127.0.0.1:${port}/${name}`, { method: 'PUT' });
    },
    program: join(root, '.venv', 'streams', 'bin', 'moto_server'),
    args: ['-H', '127.0.0.1', '-p', String(port)],
  });
}

async function server(parts: {
  folder: string;
  port: number;
  keys: { accessKey: string; secretKey: string };
  makeBucket(name: string): Promise<void>;
  program: string;
  args: string[];
}): Promise<S3Server> {
  const { folder, port, keys, makeBucket, program, args } = parts;
  const url = `http://127.0.0.1:${port}`;
  let child: ChildProcess | undefined;
  const start = async () => {
    child = spawn(program, args, { stdio: 'ignore' });
    for (let tries = 0; tries < 600; tries++) {
      const answered = await fetch(url).then(
        () => true,
        () => false,
      );
      if (answered) return;
      await delay(50);
    }
    throw new Error(`${program} does not answer`);
  };
  const kill = async () => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  };
  await start();
  return {
    url,
    folder,
    ...keys,
    makeBucket,
    kill,
    start,
    async stop() {
      if (child) await endProgram(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
