// `stream bridge` from MQTT to Kafka against the guide's bridge (go-bridge/, built here with Go): the same messages from the same
// Mosquitto into the same Kafka, in turn, from the publisher's first message until the last one is in the log.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { startKafka } from '../../test/support/kafka.js';
import { startMosquitto } from '../../test/support/mosquitto.js';
import { guideMessages } from './guide.js';
import { contentOf, endOf, forgetLog } from './kafka-log.js';
import type { Figure } from './mqtt.js';
import { prepareBlast } from './mqtt-blast.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface BridgeFigure extends Figure {
  /** Of 100 %, that did not arrive. */
  ourLost: number;
  theirLost: number;
  /** Arrived more than once. */
  ourTwice: number;
  /** Largest resident size, MB. */
  ourMemory: number;
}

interface Run {
  seconds: number;
  cpu: number;
  memory: number;
  lost: number;
  twice: number;
}

/** At QoS 0 and 1 (1 alone in the short form). The guide's own is QoS 0; it is given the other as well. */
export async function bridgeFigures(options: {
  messages: number;
  rounds: number;
  short?: boolean;
}): Promise<BridgeFigure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'aiot-bench-bridge-'));
  const program = join(folder, 'go-bridge');
  const go = spawnSync('go', ['build', '-o', program, '.'], {
    cwd: join(root, 'bench', 'streams', 'go-bridge'),
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' },
    encoding: 'utf8',
  });
  if (go.status !== 0) throw new Error(`go build: ${go.stderr ?? go.error}`);
  // Kafka 4 does not understand the guide's old client.
  const kafka = await startKafka({ version: '3.9.1' });
  try {
    const figures: BridgeFigure[] = [];
    for (const qos of options.short ? ([1] as const) : ([0, 1] as const))
      figures.push(await compare(program, kafka, qos, options));
    return figures;
  } finally {
    await forgetLog();
    await kafka.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function compare(
  program: string,
  kafka: Awaited<ReturnType<typeof startKafka>>,
  qos: 0 | 1,
  { messages, rounds }: { messages: number; rounds: number },
): Promise<BridgeFigure> {
  const payloads = guideMessages(messages);
  const ours: Run[] = [];
  const theirs: Run[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [name, list] of [
      ['go', theirs],
      ['aiot', ours],
    ] as const) {
      const mosquitto = await startMosquitto();
      const topic = `${name}-${qos}-${round}`;
      await kafka.createTopic(topic);
      const from = `mqtt://127.0.0.1:${mosquitto.port}/${topic}?qos=${qos}&clientId=b1&clean=false`;
      const own = [
        join(root, 'bin', 'run.js'),
        'stream',
        'bridge',
        from,
        `kafka://${kafka.address}/${topic}`,
      ];
      const bridge =
        name === 'go'
          ? spawn(program, [`127.0.0.1:${mosquitto.port}`, kafka.address, topic, String(qos)])
          : spawn(process.execPath, own);
      try {
        list.push(await run(bridge, { port: mosquitto.port, topic, payloads, qos }, kafka.address));
      } finally {
        bridge.kill('SIGKILL');
        await mosquitto.stop();
      }
    }
  }
  const median = (list: Run[], figure: (run: Run) => number) =>
    list.map(figure).sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
  const largest = (list: Run[], figure: (run: Run) => number) => Math.max(...list.map(figure));
  const rate = (list: Run[]) => median(list, ({ seconds, lost }) => (messages - lost) / seconds);
  return {
    what: `bridge, QoS ${qos}`,
    ours: rate(ours),
    theirs: rate(theirs),
    ourCpu: median(ours, ({ cpu }) => cpu),
    theirCpu: median(theirs, ({ cpu }) => cpu),
    ratio: rate(ours) / rate(theirs),
    least: 4,
    ourLost: largest(ours, ({ lost }) => lost),
    theirLost: largest(theirs, ({ lost }) => lost),
    ourTwice: largest(ours, ({ twice }) => twice),
    ourMemory: largest(ours, ({ memory }) => memory),
  };
}

async function run(
  bridge: ChildProcess,
  blast: Parameters<typeof prepareBlast>[0],
  address: string,
): Promise<Run> {
  const { topic, payloads, port } = blast;
  const publish = await prepareBlast(blast);
  await subscribed(bridge, port, topic, address);
  const before = await endOf(address, topic);
  const started = performance.now();
  await publish();
  const wanted = before + payloads.length;
  let end = before;
  let changed = performance.now();
  // What is lost never comes: five seconds without anything new are the end too.
  while (end < wanted && performance.now() - changed < 5000) {
    await delay(20);
    const now = await endOf(address, topic);
    if (now > end) changed = performance.now();
    end = now;
  }
  const seconds = (changed - started) / 1000;
  const { cpu, memory } = costOf(bridge);
  const counts = new Map<string, number>();
  for (const text of await contentOf(address, topic)) counts.set(text, (counts.get(text) ?? 0) + 1);
  const lost = payloads.filter((payload) => !counts.has(payload.toString())).length;
  const twice = [...counts].filter(([text, count]) => count > 1 && text !== 'probe').length;
  return { seconds, cpu, memory, lost, twice };
}

/** Neither says when it has subscribed in words of one kind: a message of another length is published until one arrives. */
async function subscribed(bridge: ChildProcess, port: number, topic: string, address: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (bridge.exitCode !== null) throw new Error(`the bridge ended with ${bridge.exitCode}`);
    spawnSync('mosquitto_pub', ['-h', '127.0.0.1', '-p', String(port), '-t', topic, '-m', 'probe']);
    await delay(100);
    if ((await endOf(address, topic)) > 0) break;
  }
  await delay(500);
}

/** CPU seconds and largest resident size so far (proc_pid_stat(5), proc_pid_status(5)). */
function costOf({ pid }: ChildProcess): { cpu: number; memory: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [, peak = '0'] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, memory: Number(peak) / 1024 };
}

export function bridgeText(figure: BridgeFigure): string {
  const { ourLost, theirLost, ourTwice, ourMemory } = figure;
  return `lost ${ourLost} (Go: ${theirLost}), twice ${ourTwice}, ${ourMemory.toFixed(0)} MB`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const messages = Number(process.argv[2] ?? 100_000);
  for (const figure of await bridgeFigures({ messages, rounds: Number(process.argv[3] ?? 3) })) {
    const { what, ours, theirs, ourCpu, theirCpu, ratio, least } = figure;
    console.log(
      `${ratio >= least ? 'kept  ' : 'MISSED'} ${what}: aiot ${Math.round(ours)}/s (${ourCpu.toFixed(2)} CPU s), Go ${Math.round(theirs)}/s (${theirCpu.toFixed(2)}); ×${ratio.toFixed(2)}, at least ×${least}; ${bridgeText(figure)}`,
    );
  }
}
