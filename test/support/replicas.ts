import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { MqttClient } from 'mqtt';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { generateKeyPair, publicKeyOf } from '../../src/lib/core/crypto.js';
import type { Reported } from '../../src/lib/device/protocol/messages.js';
import { trustRootOf } from '../../src/lib/formats/manifest/envelope.js';
import type { Engines } from '../../src/lib/platform/options.js';
import { root } from './cli.js';
import { startPostgres } from './postgres.js';

/** A telemetry message of a recording. */
export function sample(seq: number): string {
  return JSON.stringify({ seq, t: seq, rate: 10, recording: 'r', x: seq });
}

/** The next version is the current one with another migration. Any other text is the folder of another checkout, which is built. */
export type Version = 'current' | 'next' | (string & {});

export interface Replicas {
  children: ChildProcess[];
  /** A client of each replica, in the order of their start. */
  clients: RegistryClient[];
  /** Clients of the first and the last replica of the start. */
  first: RegistryClient;
  last: RegistryClient;
  /** Starts another replica. */
  start: (version?: Version) => Promise<RegistryClient>;
  /** Signs models that the devices trust. */
  key: string;
  /** The result of a query on the database. */
  query: (sql: string) => Promise<string>;
  /** The numbers of stored messages and of distinct messages. */
  stored: () => Promise<string>;
  folder: string;
  /** Address of the database. */
  database: string;
  /** What all replicas have logged. */
  log: () => string;
}

/**
 * Starts three replicas on one database, each in its own process.
 * @param endings receives functions that stop everything, to be called in reverse order
 */
export async function startReplicas(
  engines: Partial<Engines>,
  endings: (() => unknown)[],
  initial: Version = 'current',
): Promise<Replicas> {
  const postgres = await startPostgres();
  const folder = await mkdtemp(join(tmpdir(), 'aiot-replicas-'));
  const children: ChildProcess[] = [];
  const clients: RegistryClient[] = [];
  endings.push(
    () => rm(folder, { recursive: true, force: true }),
    () => postgres.stop(),
    () => Promise.all(children.map(ended)),
    () => Promise.all(clients.map((client) => client.close())),
  );
  const database = await postgres.database();
  let log = '';
  let token = '';
  const start = async (version: Version = 'current') => {
    const dataDir = join(folder, String(children.length));
    const options = { dataDir, httpPort: 0, mqttPort: 0, secret: 'shared' };
    const child = startReplica({ ...options, engines: { ...engines, database } }, version);
    children.push(child);
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    const started = await replicaOf(child, () => log);
    token ||= started.token ?? '';
    const ca = await readFile(started.ca, 'utf8');
    const client = createClient({ url: started.urls.http, ca, token });
    clients.push(client);
    return client;
  };
  const first = await start(initial);
  await start(initial);
  const last = await start(initial);
  const key = generateKeyPair().privatePem;
  await first.trust.put(trustRootOf(publicKeyOf(key)));
  const query = (sql: string) => postgres.psql(database.split('/').at(-1) as string, sql);
  const rows = `SELECT count(*) || ' ' || count(DISTINCT ("take", "seq")) FROM "telemetryMessages"`;
  return {
    children,
    clients,
    first,
    last,
    start,
    key,
    query,
    stored: () => query(rows),
    folder,
    database,
    log: () => log,
  };
}

/** Reports a device's state to an external broker. */
export async function report(device: MqttClient, name: string, own: Partial<Reported>): Promise<void> {
  const rest = { model: null, floor: 0, download: null, golden: null, error: null };
  const message = { t: Date.now(), type: 'virtual', ...rest, ...own };
  await device.publishAsync(`aiot/v1/${name}/reported`, JSON.stringify(message), { qos: 1, retain: true });
}

/** Kills a replica, unless it has ended, and waits until it writes no more files. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

function startReplica(options: object, version: Version): ChildProcess {
  const named = version === 'current' || version === 'next';
  const program = join(named ? root : version, 'test', 'platform', 'kills', 'child.mjs');
  const words = [JSON.stringify(options), ...(version === 'next' ? [version] : [])];
  return spawn(process.execPath, [program, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function replicaOf(
  child: ChildProcess,
  log: () => string,
): Promise<{ urls: { http: string }; ca: string; token?: string }> {
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const ended = once(child, 'exit').then(() =>
    Promise.reject(new Error(`the replica ended: ${log().slice(-3000)}`)),
  );
  const [line] = await Promise.race([once(lines, 'line'), ended]);
  ended.catch(() => {});
  return JSON.parse(String(line));
}
