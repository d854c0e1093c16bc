// `tail --format raw` of a Kafka topic against kcat: the same messages from the same broker, in turn, from the first byte to the last.
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { openSink } from '../../src/lib/stream/index.js';
import { startKafka } from '../../test/support/kafka.js';
import { type Consumed, startConsumer } from './consumer.js';
import { guideMessages } from './guide.js';
import type { Figure } from './mqtt.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const topic = 'bench';

/** `tail` plain and with an expression, each against kcat, which evaluates nothing. */
export async function kafkaFigures(options: { messages: number; rounds: number }): Promise<Figure[]> {
  const broker = await startKafka();
  try {
    await broker.createTopic(topic);
    const payloads = guideMessages(options.messages);
    const sink = await openSink(`kafka://${broker.address}/${topic}`);
    for (let at = 0; at < payloads.length; at += 1000) {
      await sink.write(payloads.slice(at, at + 1000).map((payload) => ({ topic, payload })));
    }
    await sink.close();
    const expected = payloads.reduce((sum, { length }) => sum + length + 1, 0);
    const where = ['--where', 'temperature > 0'];
    return [
      await compare('Kafka', broker.address, [], 0.8, expected, options),
      await compare('Kafka, --where', broker.address, where, 0.5, expected, options),
    ];
  } finally {
    await broker.stop();
  }
}

async function compare(
  what: string,
  address: string,
  flags: string[],
  least: number,
  expected: number,
  { messages, rounds }: { messages: number; rounds: number },
): Promise<Figure> {
  const count = String(messages);
  const own = [
    ...[join(root, 'bin', 'run.js'), 'stream', 'tail', `kafka://${address}/${topic}`, '--from', 'beginning'],
    ...['--count', count, '--format', 'raw', ...flags],
  ];
  const kcat = ['-b', address, '-C', '-t', topic, '-o', 'beginning', '-c', count, '-q'];
  const ours: Consumed[] = [];
  const theirs: Consumed[] = [];
  // The first pair warms the broker up: its own code is compiled while it runs.
  for (let round = 0; round <= rounds; round++) {
    const pair = [
      await startConsumer('kcat', kcat, expected).done,
      await startConsumer(process.execPath, own, expected).done,
    ] as const;
    if (round === 0) continue;
    theirs.push(pair[0]);
    ours.push(pair[1]);
  }
  return {
    what,
    ours: messages / median(ours.map(({ seconds }) => seconds)),
    theirs: messages / median(theirs.map(({ seconds }) => seconds)),
    ourCpu: median(ours.map(({ cpu }) => cpu)),
    theirCpu: median(theirs.map(({ cpu }) => cpu)),
    ratio: median(ours.map(({ seconds }, round) => (theirs[round]?.seconds ?? 0) / seconds)),
    least,
  };
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const messages = Number(process.argv[2] ?? 100_000);
  for (const figure of await kafkaFigures({ messages, rounds: Number(process.argv[3] ?? 3) })) {
    const { what, ours, theirs, ourCpu, theirCpu, ratio, least } = figure;
    console.log(
      `${ratio >= least ? 'kept  ' : 'MISSED'} ${what}: aiot ${Math.round(ours)}/s (${ourCpu.toFixed(2)} CPU s), kcat ${Math.round(theirs)}/s (${theirCpu.toFixed(2)}); ×${ratio.toFixed(2)}, at least ×${least}`,
    );
  }
}
