// The broker's throughput compared with Mosquitto's and mochi-mqtt's: with one fast publisher, one mosquitto_sub and the same
// messages, in alternating rounds. At QoS 1 the publisher waits for all acknowledgments. There is no persistent session, so no broker
// writes to disk.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../test/support/free-port.js';
import { startMosquitto } from '../../test/support/mosquitto.js';
import type { Bench } from '../harness/area.js';
import { type Figure, growth } from '../harness/figure.js';
import { versionOf } from '../harness/parts.js';
import { root } from '../harness/process.js';
import { guideMessages } from '../streams/guide.js';
import { prepareBlast } from '../streams/mqtt-blast.js';
import { startPlatformProcess } from './process.js';

export interface Target {
  port: number;
  password: string;
}

/** Throughput at QoS 0 and at QoS 1. */
export async function broker(bench: Bench): Promise<Figure[]> {
  const [messages, rounds] = bench.quick ? [10_000, 2] : [100_000, 7];
  const mochi = await startMochi(bench.folder());
  const platform = await startPlatformProcess(bench.folder());
  const mosquitto = await startMosquitto();
  const port = Number(new URL(platform.urls.mqtt ?? '').port);
  const targets = {
    ours: { port, password: platform.token },
    mosquitto: { port: mosquitto.port, password: 'x' },
    mochi: { port: mochi.port, password: 'x' },
  };
  try {
    const figures: Figure[] = [];
    for (const qos of [0, 1] as const) {
      const rates = { ours: [] as number[], mosquitto: [] as number[], mochi: [] as number[] };
      for (let round = 0; round < rounds; round++)
        for (const [name, target] of Object.entries(targets))
          rates[name as keyof typeof rates].push(
            messages / (await secondsOf(name, target, { qos, messages })),
          );
      const own = { unit: '/s', better: 'higher', ours: rates.ours, goal: 0.8 } as const;
      const name = `one publisher to one subscriber, QoS ${qos}`;
      const version = versionOf('mosquitto', '-h');
      figures.push(
        {
          ...own,
          name: `${name}, compared with Mosquitto`,
          peer: { name: 'Mosquitto', version, rounds: rates.mosquitto },
        },
        {
          ...own,
          name: `${name}, compared with mochi-mqtt`,
          peer: { name: 'mochi-mqtt', version: mochi.version, rounds: rates.mochi },
        },
      );
    }
    const points = [];
    for (const size of bench.quick ? [1000, 10_000] : [2000, 20_000, 200_000])
      points.push({ size, cost: await secondsOf('ours', targets.ours, { qos: 1, messages: size }) });
    return [...figures, growth('broker, messages', 1.1, points)];
  } finally {
    mochi.stop();
    await mosquitto.stop();
    await platform.stop();
  }
}

/** Seconds from the first published message to the last one received by the subscriber. */
export async function secondsOf(
  name: string,
  { port, password }: Target,
  { qos, messages, version = 4 }: { qos: 0 | 1; messages: number; version?: 4 | 5 },
): Promise<number> {
  const login = { username: 'bench', password };
  const args = ['-h', '127.0.0.1', '-p', String(port), '-u', login.username, '-P', password];
  const subscriber = spawn('mosquitto_sub', [
    ...[...args, '-V', version === 5 ? '5' : '311', '-t', 'bench/#', '-q', String(qos)],
    ...['-C', String(messages), '-W', '120'],
  ]);
  const done = once(subscriber, 'close');
  subscriber.stdout.resume();
  const payloads = guideMessages(messages);
  const blast = await prepareBlast({ port, topic: 'bench/a', payloads, qos, version, login });
  // mosquitto_sub does not report when it has subscribed.
  await delay(500);
  const begun = performance.now();
  const [, [code]] = await Promise.all([blast(), done]);
  if (code !== 0)
    throw new Error(
      `${name}: mosquitto_sub exited with ${code} before it received all ${messages} messages at QoS ${qos}`,
    );
  return (performance.now() - begun) / 1000;
}

/** Starts mochi-mqtt, which is built here with Go. */
async function startMochi(folder: string) {
  const sources = join(root, 'bench', 'platform', 'go-broker');
  const program = join(folder, 'mochi');
  const built = spawnSync('go', ['build', '-o', program, '.'], {
    cwd: sources,
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' },
    encoding: 'utf8',
  });
  if (built.status !== 0) throw new Error(`go build: ${built.stderr ?? built.error}`);
  const port = await freePort();
  const child = spawn(program, [String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  const version = /server\/v2 v(\S+)/.exec(readFileSync(join(sources, 'go.mod'), 'utf8'))?.[1];
  return { port, version, stop: () => void child.kill('SIGKILL') };
}
