import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root } from './cli.js';
import { privateMounts } from './private-mounts.js';

/** A shell that alone sees a file system of its own, in memory. */
export interface SmallDisk {
  folder: string;
  /** Runs a line of shell; `$DISK` is the file system. What it prints, once it has ended. */
  sh(line: string): Promise<string>;
  /** Starts the platform on it in the background, and gives what it says first. Its pid is `$PID`. */
  up(): Promise<{
    urls?: { http: string; mqtts: string };
    token?: string;
    error?: { code: string; message: string };
  }>;
  stop(): Promise<void>;
}

export async function smallDisk(megabytes: number): Promise<SmallDisk> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-disk-'));
  const disk = join(folder, 'disk');
  const shell: ChildProcess = spawn('unshare', [...privateMounts(), 'sh'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, DISK: disk, HOME: folder, AIOT_CONFIG_DIR: join(folder, 'config') },
  });
  const lines = createInterface({ input: shell.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the shell has ended');
    return value as string;
  };
  const sh = async (line: string) => {
    shell.stdin?.write(`${line}\necho; echo --ended--\n`);
    const printed: string[] = [];
    for (let text = await next(); text !== '--ended--'; text = await next()) printed.push(text);
    return printed.join('\n').trim();
  };
  await sh(`mkdir -p "$DISK" && mount -t tmpfs -o size=${megabytes}m tmpfs "$DISK"`);
  return {
    folder,
    sh,
    async up() {
      const program = `"${process.execPath}" "${join(root, 'bin', 'dev.js')}"`;
      const args = 'up --data "$DISK/data" --http-port 0 --mqtt-port 0 --json';
      shell.stdin?.write(`${program} ${args} 2>"$DISK/../log" & PID=$!\n`);
      return JSON.parse(await next());
    },
    async stop() {
      await sh('test -z "$PID" || { kill $PID; wait $PID; }').catch(() => {});
      shell.stdin?.end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
