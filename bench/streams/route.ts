// A route with JSONata expressions from Kafka to Kafka, in a separate process (bin/run.js), compared with the same route without
// expressions. Counts messages per second, from the start of reading to the last message written.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { openSource } from '../../src/lib/stream/open.js';
import { startKafka } from '../../test/support/kafka.js';
import { root } from '../harness/process.js';
import { cpuNote, cpuOf } from './consumer.js';
import { guideMessages } from './guide.js';

const expressions = {
  where: 'temperature > 0',
  map: '{"device": deviceID, "kelvin": $round(temperature + 273.15, 2), "power": current * 230, "loud": sound > 60 ? "yes" : "no"}',
  key: 'deviceID',
};

/**
 * Messages per second in each round, with `where`, `map` and `key`, and without them; `cpu`: CPU seconds of the whole process with them.
 */
export async function routeFigures({
  messages,
  rounds,
}: {
  messages: number;
  rounds: number;
}): Promise<{ mapped: number[]; plain: number[]; cpu: number[]; note: string }> {
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
    const rates = (kind: keyof typeof runs) => runs[kind].map(({ seconds }) => messages / seconds);
    const cpu = runs.mapped.map(({ cpu }) => cpu);
    return { mapped: rates('mapped'), plain: rates('plain'), cpu, note: cpuNote(runs.mapped, runs.plain) };
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
  // JSON is valid YAML.
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

/** Time between the first and last messages in a topic, by the broker's clock. */
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
