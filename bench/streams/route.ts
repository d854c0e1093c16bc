// A route with JSONata expressions, from Kafka to Kafka in a process of its own (bin/run.js), and against the same route without expressions: messages a
// second from its start of reading to the last one written.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Kafka, logLevel } from 'kafkajs';
import { openSource } from '../../src/lib/stream/index.js';
import { startKafka } from '../../test/support/kafka.js';
import { cpuOf } from './consumer.js';
import { guideMessages } from './guide.js';
import type { Figure } from './mqtt.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What a route is to reach, messages a second. */
const leastRate = 20_000;
/** What it is to keep of the rate of a route without expressions. */
const leastOfPlain = 0.6;

const expressions = {
  where: 'temperature > 0',
  map: '{"device": deviceID, "kelvin": $round(temperature + 273.15, 2), "power": current * 230, "loud": sound > 60 ? "yes" : "no"}',
  key: 'deviceID',
};

/**
 * `ours` with where, map and key, `theirs` the same route without them; the ratio is of `ours` to the rate asked for. In the short
 * form it is of `ours` to `theirs`: how many messages a second there are is the machine's affair, what the expressions cost is ours.
 */
export async function routeFigures({
  messages,
  rounds,
  short = false,
}: {
  messages: number;
  rounds: number;
  short?: boolean;
}): Promise<Figure[]> {
  const kafka = await startKafka();
  const client = new Kafka({ brokers: [kafka.address], logLevel: logLevel.NOTHING });
  try {
    await kafka.createTopic('in');
    const producer = client.producer();
    await producer.connect();
    const values = guideMessages(messages).map((value) => ({ value }));
    for (let at = 0; at < messages; at += 2000) {
      await producer.send({ topic: 'in', messages: values.slice(at, at + 2000) });
    }
    await producer.disconnect();
    const runs: Record<'mapped' | 'plain', Run[]> = { mapped: [], plain: [] };
    for (let round = 0; round < rounds; round++) {
      for (const kind of ['plain', 'mapped'] as const) {
        const topic = `out-${kind}-${round}`;
        await kafka.createTopic(topic, 1, { 'message.timestamp.type': 'LogAppendTime' });
        runs[kind].push(await runOnce(kafka.address, topic, messages, kind === 'mapped' ? expressions : {}));
      }
    }
    const rate = (kind: keyof typeof runs) => messages / median(runs[kind].map(({ seconds }) => seconds));
    return [
      {
        what: 'route with where, map and key (JSONata), Kafka to Kafka',
        ours: rate('mapped'),
        theirs: rate('plain'),
        ourCpu: median(runs.mapped.map(({ cpu }) => cpu)),
        theirCpu: median(runs.plain.map(({ cpu }) => cpu)),
        ratio: rate('mapped') / (short ? rate('plain') : leastRate),
        least: short ? leastOfPlain : 1,
      },
    ];
  } finally {
    await kafka.stop();
  }
}

interface Run {
  seconds: number;
  cpu: number;
}

async function runOnce(address: string, topic: string, messages: number, fields: object): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), 'aiot-bench-route-'));
  const file = join(folder, 'routes.json');
  const route = {
    from: `kafka://${address}/in?group=${topic}&from=beginning`,
    to: `kafka://${address}/${topic}`,
    ...fields,
  };
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ routes: { [topic]: route } }));
  const child = spawn(
    process.execPath,
    [join(root, 'bin', 'run.js'), 'stream', 'route', 'run', file, '--json'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let told = '';
  let output = '';
  child.stderr.on('data', (chunk: Buffer) => {
    told += chunk;
  });
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  try {
    const { seconds, count } = await arrived(address, topic, messages);
    const cpu = await cpuOf(child.pid);
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
    const { routes } = JSON.parse(output) as { routes: { received: number }[] };
    if (routes[0]?.received !== messages || count !== messages) {
      throw new Error(`of ${messages}, ${routes[0]?.received} were read and ${count} written: ${told}`);
    }
    return { seconds, cpu };
  } finally {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Time between the first and the last message of a topic, by the broker's clock. */
async function arrived(
  address: string,
  topic: string,
  messages: number,
): Promise<{ seconds: number; count: number }> {
  const source = await openSource(`kafka://${address}/${topic}?from=beginning`, { overflow: 'wait' });
  const timer = setTimeout(() => void source.close(), 120_000);
  const times: number[] = [];
  try {
    for await (const batch of source) {
      for (const { message, ack } of batch) {
        times.push(message.time);
        ack();
      }
      if (times.length >= messages) break;
    }
  } finally {
    clearTimeout(timer);
    await source.close();
  }
  return { seconds: ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1000, count: times.length };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
