import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './free-port.js';
import { listening } from './mosquitto.js';

const run = promisify(execFile);

/** Returns Debian's program folder for the newest installed PostgreSQL, or ''. */
export async function postgresPrograms(): Promise<string> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => []);
  const newest = versions.sort((a, b) => Number(a) - Number(b)).at(-1);
  return newest === undefined ? '' : join('/usr/lib/postgresql', newest, 'bin');
}

export interface Postgres {
  port: number;
  /** Creates an empty database, and returns its URL. */
  database(): Promise<string>;
  /** Runs SQL as the superuser, and returns the rows as printed by psql. */
  psql(database: string, sql: string): Promise<string>;
  /** Ends the server immediately (SIGQUIT), so that unsynced data is at most in its log. */
  kill(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export const password = 'a-password-of-tests';

/** Starts a real PostgreSQL server on a free loopback port, with its files in a separate folder below `parent`. */
export async function startPostgres(
  settings: readonly string[] = [],
  parent: string = tmpdir(),
): Promise<Postgres> {
  const bin = await postgresPrograms();
  const folder = await mkdtemp(join(parent, 'aiot-postgres-'));
  // PostgreSQL refuses to run as root.
  const user: { uid?: number; gid?: number } = process.getuid?.() === 0 ? await account('postgres') : {};
  if (user.uid !== undefined && user.gid !== undefined) await chown(folder, user.uid, user.gid);
  const data = join(folder, 'data');
  const env = { PATH: process.env.PATH, LC_ALL: 'C', HOME: folder };
  await writeFile(join(folder, 'password'), password, { mode: 0o644 });
  await run(
    join(bin, 'initdb'),
    [
      ...['-D', data, '-U', 'aiot', '--pwfile', join(folder, 'password')],
      ...['-A', 'scram-sha-256', '-E', 'UTF8', '--no-sync', '--no-instructions'],
    ],
    { ...user, env, cwd: folder },
  );
  const port = await freePort();
  let server: ChildProcess | undefined;
  const start = async () => {
    server = spawn(
      join(bin, 'postgres'),
      [
        ...['-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1'],
        ...['-c', `unix_socket_directories=${folder}`, '-c', 'shared_buffers=16MB'],
        ...settings.flatMap((setting) => ['-c', setting]),
      ],
      { stdio: 'ignore', cwd: folder, env, ...user },
    );
    await listening(port);
  };
  const kill = async (signal: NodeJS.Signals = 'SIGQUIT') => {
    if (!server || server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, 'exit');
    server.kill(signal);
    await exited;
  };
  const psql = async (database: string, sql: string) => {
    const args = ['-h', '127.0.0.1', '-p', String(port), '-U', 'aiot', '-d', database, '-tAqc', sql];
    const { stdout } = await run(join(bin, 'psql'), args, { env: { ...env, PGPASSWORD: password } });
    return stdout.trimEnd();
  };
  let databases = 0;
  const ready = async () => {
    for (const until = Date.now() + 60_000; Date.now() < until; ) {
      if (await psql('postgres', 'SELECT 1').catch(() => null)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error('PostgreSQL did not start');
  };
  await start();
  await ready();
  return {
    port,
    psql,
    kill: () => kill(),
    async start() {
      await start();
      await ready();
    },
    async database() {
      const name = `aiot${++databases}`;
      await psql('postgres', `CREATE DATABASE ${name}`);
      return `postgres://aiot:${password}@127.0.0.1:${port}/${name}`;
    },
    async stop() {
      // A fast shutdown, which does not wait for clients.
      await kill('SIGINT');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function account(name: string): Promise<{ uid: number; gid: number }> {
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, name])).stdout)),
  );
  return { uid: uid as number, gid: gid as number };
}
