import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from './free-port.js';
import { endProgram } from './programs.js';
import { registryFolder } from './real.js';

export interface OciRegistryServer {
  /** HOST:PORT */
  host: string;
  /** Whom it lets in; the registry itself made the password. */
  login: { username: string; password: string } | null;
  stop(): Promise<void>;
}

/** The distribution project's registry over a folder, without TLS on loopback. */
export async function startOciRegistry({ login = false } = {}): Promise<OciRegistryServer> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-oci-'));
  const host = `127.0.0.1:${await freePort()}`;
  const config = {
    version: '0.1',
    log: { level: 'warn' },
    storage: { filesystem: { rootdirectory: join(folder, 'store') } },
    http: { addr: host },
    ...(login ? { auth: { htpasswd: { realm: 'aiot-tests', path: join(folder, 'htpasswd') } } } : {}),
  };
  const file = join(folder, 'registry.json');
  // JSON is YAML.
  await writeFile(file, JSON.stringify(config));
  const child: ChildProcess = spawn(join(registryFolder, 'bin', 'registry'), ['serve', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, OTEL_TRACES_EXPORTER: 'none' },
  });
  let made: OciRegistryServer['login'] = null;
  createInterface({ input: child.stderr! }).on('line', (line) => {
    const password = /password=(\S+) user=docker/.exec(line)?.[1];
    if (password !== undefined) made = { username: 'docker', password };
  });
  const stop = async () => {
    await endProgram(child);
    await rm(folder, { recursive: true, force: true });
  };
  const gone = once(child, 'exit').then(() => {
    throw new Error('the registry ended');
  });
  gone.catch(() => {});
  const answers = async () => {
    for (;;) {
      const answer = await fetch(`http://${host}/v2/`).catch(() => null);
      if (answer && (!login || made)) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await Promise.race([answers(), gone]);
  return { host, login: made, stop };
}

/** What go-containerregistry's crane says. */
export function crane(...args: string[]): Buffer {
  const { status, stdout, stderr } = spawnSync(join(registryFolder, 'bin', 'crane'), args, {
    timeout: 20_000,
  });
  if (status !== 0) throw new Error(`crane ${args.join(' ')}: ${stderr}`);
  return stdout;
}
