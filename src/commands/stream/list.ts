import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { duration } from '../../lib/cli/flags/shared.js';
import { topicsText } from '../../lib/cli/render/streams.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { listTopics, topicsSchema } from '../../lib/stream/broker/inspect.js';

export default class StreamList extends AiotCommand {
  static override summary = 'List topics, subjects and streams with their rates.';
  static override description =
    'Kafka and JetStream have a list of topics. MQTT and core NATS have none: the command listens for the time set by --for, and lists the topics of the messages that arrive.';
  static override aliases = ['stream:ls'];
  static override examples = [
    '<%= config.bin %> <%= command.id %> kafka://127.0.0.1',
    "<%= config.bin %> <%= command.id %> 'mqtt://127.0.0.1/sensors/#' --for 10s",
    "<%= config.bin %> <%= command.id %> 'nats://127.0.0.1/plant.>' --json",
  ];
  static override args = {
    url: Args.string({
      required: true,
      description: 'Broker address, and optionally a topic filter.',
    }),
  };
  static override flags = {
    for: duration({ summary: 'Time to listen for messages.', env: 'AIOT_FOR', default: 2000 }),
    ...brokerFlags,
  };
  static override result = topicsSchema;

  async run() {
    const { args, flags } = await this.input(StreamList);
    const options = { ...(await brokerOptions(flags)), signal: this.signal };
    this.progress().update({ text: 'listening' });
    const topics = await listTopics(args.url, { ...options, listenMs: flags.for });
    this.print(topicsText(topics));
    const [first] = topics.topics;
    if (first) this.suggest(next(`aiot stream tail ${shellWord(`${topics.endpoint}/${first.topic}`)}`));
    return topics;
  }
}
