import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { deliveriesOf } from '../../../src/lib/stream/message.js';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { type KafkaBroker, kafkaPeer, kcat, startKafkaCluster } from '../../support/kafka.js';
import { describeReal } from '../../support/real.js';

const total = 20_000;
const partitions = 6;
let brokers: KafkaBroker[] = [];

const long = process.env.AIOT_LONG === '1';

describeReal('kafka', 'a cluster of three Kafka brokers', () => {
  beforeAll(async () => {
    if (long) brokers = await startKafkaCluster();
  }, 180_000);
  afterAll(() => Promise.all(brokers.map((broker) => broker.stop())));

  it.runIf(long)(
    'stores and delivers every message once, in order per partition, while brokers are killed',
    async () => {
      const addresses = brokers.map(({ address }) => address).join(',');
      const admin = kafkaPeer(brokers[0]!.address).admin();
      await admin.connect();
      const topic = { topic: 'spread', numPartitions: partitions, replicationFactor: 3 };
      await admin.createTopics({ topics: [topic], waitForLeaders: true });
      await admin.disconnect();
      const source = await openSource(`kafka://${addresses}/spread?from=beginning`);
      const read = (async () => {
        const seen: string[] = [];
        for await (const { message } of deliveriesOf(source)) {
          seen.push(`${message.position!.split(':')[0]} ${Buffer.from(message.payload)}`);
          if (seen.length >= total) return seen;
        }
        return seen;
      })();
      const sink = await openSink(`kafka://${addresses}/spread?timeout=90s`);
      const outages = (async () => {
        for (const broker of brokers.slice(0, 2)) {
          await delay(1000);
          await broker.kill();
          await delay(4000);
          await broker.start();
        }
      })();
      const under: Promise<void>[] = [];
      for (let at = 0; at < total; at += 100) {
        under.push(
          sink.write(
            Array.from({ length: 100 }, (_, index) => ({
              topic: '',
              key: Buffer.from(`${(at + index) % 17}`),
              payload: Buffer.from(`${at + index}`),
            })),
          ),
        );
        if (under.length >= 5) await under.shift();
        await delay(40);
      }
      await Promise.all([...under, outages]);
      await sink.close();
      const stored = kcat(brokers[2]!.address, 'spread', '%p %s\n').split('\n').slice(0, -1);
      const seen = await read;
      await source.close();
      for (const lines of [stored, seen]) {
        for (let partition = 0; partition < partitions; partition++) {
          const own = lines
            .filter((line) => line.startsWith(`${partition} `))
            .map((line) => Number(line.split(' ')[1]));
          expect(own).toEqual(own.toSorted((a, b) => a - b));
        }
        const all = lines.map((line) => Number(line.split(' ')[1])).toSorted((a, b) => a - b);
        expect(all).toEqual(Array.from({ length: total }, (_, index) => index));
      }
    },
    300_000,
  );
});
