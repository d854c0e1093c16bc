import { readFileSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient, type RegistryClient } from '../../src/lib/api/client.js';
import { addContext } from '../../src/lib/core/contexts.js';
import { operatorKey } from '../../src/lib/provision/operator-key.js';
import { blobLoad, eventLoad, labelLoad, modelLoad, stateLoad } from '../../test/platform/kills/api-loads.js';
import type { Load, Operated } from '../../test/platform/kills/harness.js';
import { telemetryLoad } from '../../test/platform/kills/mqtt-loads.js';
import { root } from '../../test/support/cli.js';
import { freePort } from '../../test/support/free-port.js';
import { type NatsServer, natsServerProgram, startNats } from '../../test/support/nats.js';
import { password, startPostgres } from '../../test/support/postgres.js';
import { runProgram, told } from '../../test/support/programs.js';
import { mountDisk } from '../faults/disk.js';
import { type Link, openLink } from '../faults/link.js';
import { signals } from '../faults/process.js';
import { serverFaults } from '../faults/server.js';
import { keepGoing, verifyLoads } from '../load.js';
import { both, privateKeysIn } from '../platform.js';
import { Program } from '../process.js';
import { rollOutToAll, type Started } from '../releases.js';
import type { Report, Round, Scenario, World } from '../types.js';

const names = ['a', 'b', 'c'] as const;
const databaseMegabytes = 400;
/** Default number of simulated devices. */
const fewDevices = 12;
/** Time limit for all replicas to respond and all devices to be connected after the last fault, ms. */
const backMs = 45_000;
/** Time limit for acknowledged telemetry to pass from NATS to the database, ms. */
const ingestMs = 45_000;

/** Three replicas on PostgreSQL, S3 and a cluster of three NATS servers, with rollouts to a simulated fleet. */
export const replicas: Scenario = {
  name: 'replicas',
  about: 'three replicas on PostgreSQL, S3 and three NATS servers, with rollouts',
  needs: ['postgres', 's3', 'nats with MQTT'],
  faults: {
    ...Object.fromEntries(
      names.map((name) => [`replica ${name}`, ['kill', 'kill-starting', 'kill-stopping', 'pause'] as const]),
    ),
    ...Object.fromEntries(names.map((name) => [`NATS ${name}`, ['kill', 'restart', 'cut'] as const])),
    database: ['kill', 'restart', 'disk-full'],
    'link to the database': ['delay', 'cut', 'reset', 'truncate', 'blackhole'],
    S3: ['kill', 'restart'],
  },
  count: [2, 5],
  withinMs: 8000,
  start: replicasWorld,
};

async function replicasWorld(round: Round): Promise<World> {
  const { folder, report, mark } = round;
  const devices = round.devices ?? fewDevices;
  const { server, target: databaseFaults, end: endDatabase } = await startDatabase(round);
  const s3 = await round.servers.s3();
  const toDatabase = await openLink(server.port);
  const database = (await server.database()).replace(`:${server.port}/`, `:${toDatabase.port}/`);
  const bucket = `round-${mark}`;
  await s3.makeBucket(bucket);
  const config = join(folder, 'config');
  const env = {
    ...process.env,
    ...{ AIOT_CONFIG_DIR: config, AIOT_CHAOS: mark, HOME: folder, AIOT_PLATFORM_SECRET: 'shared by all' },
    ...{ AWS_ACCESS_KEY_ID: s3.accessKey, AWS_SECRET_ACCESS_KEY: s3.secretKey },
  };
  const ports: number[] = [];
  for (const _name of names) ports.push(await freePort());
  const http = await openLink(...(ports as [number]));
  const url = `https://127.0.0.1:${http.port}`;
  const engines = ['--database', database, '--blobs', `s3://${bucket}?endpoint=${s3.url}`];
  const replica = (at: number, ...more: string[]) =>
    new Program({
      name: `replica ${names[at]}`,
      args: [
        ...['up', '--data', join(folder, `replica-${names[at]}`), '--http-port', String(ports[at])],
        ...['--mqtt-port', '0', '--json', ...engines, ...more],
      ],
      env: { ...env, AIOT_CONFIG_DIR: join(folder, `config-${names[at]}`) },
      stopped: [0],
      again: 'always',
      report,
    });
  // The first start creates the CA, which issues the certificate of the NATS servers.
  const first = replica(0);
  first.start();
  const { ca: caFile, token } = await readyLine(first);
  await first.stop();
  const nats = await startCluster(folder, join(folder, 'replica-a', 'pki'));
  const mqtt = await openLink(...(nats.mqttPorts as [number]));
  const broker = `nats://${nats.servers.map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
  const mqtts = `mqtts://127.0.0.1:${mqtt.port}`;
  for (const name of names)
    await logIn(mqtts, caFile, { ...env, AIOT_CONFIG_DIR: join(folder, `config-${name}`) });
  const programs = names.map((_name, at) =>
    replica(at, '--broker', `${broker}?mqtt=${encodeURIComponent(mqtts)}`),
  );
  for (const program of programs) program.start();
  for (const program of programs) await readyLine(program);
  const ca = readFileSync(caFile, 'utf8');
  await addContext('all', { url, mqtt: mqtts, ca: caFile, token }, { use: true, folder: config });
  // The first start made the key, in its own folder.
  const key = await operatorKey('local', join(folder, 'config-a'));
  const client = createClient({ url, ca, token });
  const each = ports.map((port) => createClient({ url: `https://127.0.0.1:${port}`, ca, token }));
  const own: Operated = { folder, http: url, mqtts, guide: undefined, ca, token, key, client };
  const fleet = new Program({
    name: 'the fleet',
    args: ['fleet', 'simulate', '--count', String(devices), '--template', 'good-####,site=good'],
    env,
    stopped: [0],
    again: 'always',
    report,
  });
  fleet.start();
  const stop = async () => {
    await fleet.stop();
    for (const program of programs) await program.stop();
    for (const one of [client, ...each]) await one.close();
    for (const link of [http, mqtt, toDatabase]) await link.close();
    await nats.stop();
    await endDatabase();
  };
  const states = stateLoad();
  const loads: Load[] = [
    ...[telemetryLoad(2), blobLoad(), modelLoad(), labelLoad(), states, eventLoad(states.acknowledged)],
  ].map(patient);
  try {
    for (const load of loads) await load.prepare?.(own);
    await allOnline(client, devices);
  } catch (error) {
    await stop();
    const printed = [...programs, fleet].map(
      (program) => `${program.name}: ${program.printed().slice(-1500)}`,
    );
    throw new Error(`${(error as Error).message}\n${printed.join('\n')}`);
  }
  const ended: Started[] = [];
  const rollOutOnce = async () =>
    void ended.push(await rollOutToAll(own, 'site=good', ended.length + 1, report, round.devices));
  return {
    targets: {
      ...Object.fromEntries(programs.map((program, at) => [`replica ${names[at]}`, signals(program)])),
      ...Object.fromEntries(
        nats.servers.map(({ kill, start }, at) => [
          `NATS ${names[at]}`,
          { ...serverFaults({ end: kill, start }), cut: nats.routesOf(at).cut },
        ]),
      ),
      database: databaseFaults,
      'link to the database': { ...toDatabase },
      S3: serverFaults({ end: s3.kill, start: s3.start }),
    },
    async load(signal) {
      await Promise.all([
        keepGoing(loads, own, signal, report),
        (async () => {
          do await rollOutOnce();
          while (!signal.aborted);
        })(),
      ]);
    },
    async recover() {
      await Promise.all(each.map(answers));
      await allOnline(client, devices);
    },
    async check() {
      await verifyLoads(loads, own, report);
      await rollOutOnce();
      await allRun(own, devices, ended.at(-1)?.version, report);
    },
    stop,
    acknowledged: () => ended.length + loads.reduce((sum, load) => sum + load.acknowledged(), 0),
    printed: () => [...programs, fleet].map((program) => program.printed()).join(''),
    secrets: () => [
      token,
      password,
      s3.secretKey,
      ...privateKeysIn(folder).map((pem) => pem.split('\n')[1] ?? pem),
    ],
    async sabotage() {
      for (const device of ['kill-0', 'kill-1']) await client.datasets.remove('killed', { device });
    },
  };
}

/** Starts PostgreSQL, with a disk of its own where file systems can be mounted. */
async function startDatabase(round: Round) {
  if (!round.has('mounts')) {
    const server = await round.servers.postgres();
    return { server, target: serverFaults({ ...server, end: server.kill }), end: async () => {} };
  }
  const place = join(round.folder, 'postgres');
  const disk = mountDisk(place, databaseMegabytes);
  // PostgreSQL runs as another user.
  for (const folder of [join(round.folder, '..'), round.folder, place]) await chmod(folder, 0o755);
  const server = await startPostgres([], place);
  const target = {
    ...serverFaults({ ...server, end: server.kill }),
    // PostgreSQL may end itself when it cannot write its log. Once there is space again, it is restarted, as by an operator.
    async 'disk-full'(forMs: number) {
      await disk['disk-full']?.(forMs);
      await server.kill();
      await server.start();
    },
  };
  const end = async () => {
    await server.stop();
    disk.remove();
  };
  return { server, target, end };
}

/** Returns the result that `aiot up` prints once it is ready. */
async function readyLine(program: Program): Promise<{ ca: string; token: string }> {
  for (const until = Date.now() + backMs; Date.now() < until; await delay(50)) {
    const said = JSON.parse(await program.said(backMs)) as { ca?: string; token?: string };
    if (said.ca !== undefined) return { ca: said.ca, token: said.token ?? '' };
  }
  await program.stop();
  throw new Error(`${program.name} did not start within ${backMs} ms: ${program.printed().slice(-1500)}`);
}

/** Stores a broker's CA for a replica. */
async function logIn(address: string, ca: string, env: NodeJS.ProcessEnv): Promise<void> {
  const args = [join(root, 'bin', 'run.js'), 'stream', 'login', address, '--ca', ca, '--untried', '--json'];
  const result = await runProgram(process.execPath, args, { env: env as Record<string, string> });
  if (result.code !== 0) throw new Error(told('aiot', args, result));
}

interface Cluster {
  servers: NatsServer[];
  /** Ports of the servers' MQTT listeners. */
  mqttPorts: number[];
  /** Faults of all connections between one server and the others. */
  routesOf(at: number): { cut(forMs: number): Promise<void> };
  stop(): Promise<void>;
}

/** Starts NATS servers with JetStream, which sync each message to disk. They reach each other over links. */
async function startCluster(folder: string, pki: string): Promise<Cluster> {
  const [routes, mqttPorts] = [[], []] as [number[], number[]];
  for (const _name of names) {
    routes.push(await freePort());
    mqttPorts.push(await freePort());
  }
  const links: { from: number; to: number; link: Link }[] = [];
  for (const from of names.keys())
    for (const [to, port] of routes.entries())
      if (from !== to) links.push({ from, to, link: await openLink(port) });
  const tls = `tls { cert_file: "${join(pki, 'server.crt')}", key_file: "${join(pki, 'server.key')}" }`;
  const servers = await Promise.all(
    names.map(async (name, at) => {
      const store = join(folder, `nats-${name}`);
      const others = links
        .filter(({ from }) => from === at)
        .map(({ link }) => `nats://127.0.0.1:${link.port}`);
      await mkdir(store, { recursive: true });
      return startNats(
        [
          `server_name: ${name}`,
          `jetstream { store_dir: "${store}", sync_interval: always }`,
          `mqtt { listen: "127.0.0.1:${mqttPorts[at]}", ${tls} }`,
          // The servers must not learn each other's addresses, because they would then connect without the links.
          `cluster { name: c, listen: "127.0.0.1:${routes[at]}", no_advertise: true, routes: [${others.join(', ')}] }`,
        ].join('\n'),
        { jetstream: false, program: natsServerProgram },
      );
    }),
  );
  return {
    servers,
    mqttPorts,
    routesOf: (at) => {
      const { cut } = both(links.filter(({ from, to }) => from === at || to === at).map(({ link }) => link));
      return { cut: async (forMs) => cut?.(forMs) };
    },
    async stop() {
      for (const server of servers) await server.stop();
      for (const { link } of links) await link.close();
    },
  };
}

/**
 * NATS acknowledges telemetry before a replica has stored it in the database, so its check is repeated until it passes or the time limit
 * is reached.
 */
function patient(load: Load): Load {
  return {
    ...load,
    async verify(victim) {
      for (const until = Date.now() + ingestMs; ; await delay(500)) {
        try {
          return await load.verify(victim);
        } catch (error) {
          if (Date.now() > until) throw error;
        }
      }
    },
  };
}

async function answers(client: RegistryClient): Promise<void> {
  let last: unknown;
  for (const until = Date.now() + backMs; Date.now() < until; await delay(100)) {
    const status = await client.status().catch((error: unknown) => {
      last = error;
    });
    if (status) return;
  }
  throw new Error(`a replica did not respond within ${backMs} ms: ${last}`);
}

async function fleetOf(client: RegistryClient) {
  return (await client.devices.list()).filter(({ tags }) => tags.site === 'good');
}

/** Waits until all devices of the fleet are connected. */
async function allOnline(client: RegistryClient, devices: number): Promise<void> {
  let [online, registered] = [0, 0];
  for (const until = Date.now() + Math.max(60_000, devices * 100); Date.now() < until; await delay(200)) {
    const found = await fleetOf(client).catch(() => []);
    registered = found.length;
    online = found.filter((device) => device.online).length;
    if (online >= devices) return;
  }
  throw new Error(`${online} of ${devices} devices are connected, ${registered} are registered`);
}

/** How long one replica may take to show what another one has stored, ms. */
const agreeMs = 10_000;
/** Number of devices that a violation names. */
const namedAtMost = 5;

/** Reports devices that do not run the given version. */
async function allRun({ client }: Operated, devices: number, version: number | undefined, report: Report) {
  let found = await fleetOf(client);
  const others = () => found.filter(({ model }) => model?.version !== version);
  for (
    const until = Date.now() + agreeMs;
    others().length > 0 && Date.now() < until;
    found = await fleetOf(client)
  )
    await delay(200);
  if (found.length !== devices)
    report('every device works', `${found.length} of ${devices} devices are registered`);
  const wrong = others().map(({ name, model, updateState }) => `${name} ${model?.version} (${updateState})`);
  if (wrong.length > 0)
    report(
      'every device works',
      `${wrong.length} devices do not run ${version}, but: ${wrong.slice(0, namedAtMost).join(', ')}`,
    );
}
