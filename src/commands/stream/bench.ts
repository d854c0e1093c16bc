import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { decimal } from '../../lib/cli/flags/shared.js';
import { benchText } from '../../lib/cli/render/streams.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { benchSchema, benchStream, smallestBench } from '../../lib/stream/broker/bench.js';

export default class StreamBench extends AiotCommand {
  static override summary = "Measure a broker's throughput, latency and losses.";
  static override description =
    'Publishes messages and reads them back, timed by one clock. Without a topic in the URL, uses its own topic (MQTT, NATS); Kafka requires a topic. At full speed, the latency includes queueing; to measure it under normal load, set --rate. Exits with 6 if messages were lost.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> mqtt://127.0.0.1:1883',
    '<%= config.bin %> <%= command.id %> mqtt://127.0.0.1:1883 --rate 1000 --count 10000 --qos 0',
    '<%= config.bin %> <%= command.id %> kafka://127.0.0.1:9092/bench --size 1000 --json',
  ];
  static override args = {
    url: Args.string({ required: true, description: 'Broker address, and optionally the topic to use.' }),
  };
  static override flags = {
    count: Flags.integer({
      char: 'n',
      min: 1,
      max: 10_000_000,
      default: 10_000,
      summary: 'Number of messages to publish.',
      env: 'AIOT_COUNT',
      helpValue: 'N',
    }),
    size: Flags.integer({
      min: smallestBench,
      max: 10_000_000,
      default: 150,
      summary: 'Payload size in bytes.',
      env: 'AIOT_SIZE',
      helpValue: 'BYTES',
    }),
    rate: decimal({
      summary: 'Messages per second; 0 = as fast as possible [default: 0].',
      env: 'AIOT_RATE',
    }),
    qos: Flags.option({ options: ['0', '1', '2'] as const })({
      summary: 'MQTT: quality of service [default: 1].',
      env: 'AIOT_QOS',
    }),
    stream: Flags.string({
      summary: 'NATS: the JetStream stream to use.',
      env: 'AIOT_STREAM',
      helpValue: 'NAME',
    }),
    ...brokerFlags,
  };
  static override result = benchSchema;

  async run() {
    const { args, flags } = await this.input(StreamBench);
    const { count, size, rate, qos, stream } = flags;
    const progress = this.progress();
    const bench = await benchStream({
      ...(await brokerOptions(flags)),
      ...(qos === undefined ? {} : { qos: Number(qos) as 0 | 1 | 2 }),
      ...{ url: args.url, count, size, rate, stream, signal: this.signal },
      onProgress: (done) => progress.update({ text: 'received', done, total: count }),
    });
    this.print(benchText(bench));
    this.suggest(next(`aiot stream check ${shellWord(bench.endpoint)}`));
    if (bench.lost > 0) this.exitsWith(6);
    return bench;
  }
}
