// `tail --format raw` of a Kafka topic compared with kcat: the same messages from the same broker, alternating, from the first byte to the
// last.
import { join } from 'node:path';
import { openSink } from '../../src/lib/stream/open.js';
import { startKafka } from '../../test/support/kafka.js';
import { root } from '../harness/process.js';
import { type Consumed, cpuNote, startConsumer } from './consumer.js';
import { guideMessages } from './guide.js';
import type { Compared } from './mqtt.js';

const topic = 'bench';

/** Compares `tail`, plain and with an expression, with kcat, which evaluates nothing. */
export async function kafkaFigures(options: { messages: number; rounds: number }): Promise<Compared[]> {
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
): Promise<Compared> {
  const count = String(messages);
  const own = [
    ...[join(root, 'bin', 'run.js'), 'stream', 'tail', `kafka://${address}/${topic}`, '--from', 'beginning'],
    ...['--count', count, '--format', 'raw', ...flags],
  ];
  const kcat = ['-b', address, '-C', '-t', topic, '-o', 'beginning', '-c', count, '-q'];
  const ours: Consumed[] = [];
  const theirs: Consumed[] = [];
  // The first pair of runs warms up the broker's JIT compiler.
  for (let round = 0; round <= rounds; round++) {
    const pair = [
      await startConsumer('kcat', kcat, expected).done,
      await startConsumer(process.execPath, own, expected).done,
    ] as const;
    if (round === 0) continue;
    theirs.push(pair[0]);
    ours.push(pair[1]);
  }
  const rates = (list: Consumed[]) => list.map(({ seconds }) => messages / seconds);
  return { what, least, ours: rates(ours), theirs: rates(theirs), note: cpuNote(ours, theirs) };
}
