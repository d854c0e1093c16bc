import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { replaySpeed } from '../../lib/cli/flags/streams.js';
import { headerLoss } from '../../lib/cli/render/streams.js';
import { plural, size } from '../../lib/core/figures.js';
import { replay, replayedSchema } from '../../lib/stream/tail/record.js';

export default class StreamReplay extends AiotCommand {
  static override summary = 'Replay a recording at any speed.';
  static override description =
    'A topic in the URL is used for all messages. Without one, each message goes to its recorded topic, or to the result of --topic.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> x.ndjson --to mqtt://127.0.0.1:1883',
    '<%= config.bin %> <%= command.id %> x.ndjson.gz --to kafka://127.0.0.1/readings --speed max',
    `<%= config.bin %> <%= command.id %> x.ndjson --to mqtt://127.0.0.1 --speed 2 --topic '"copy/" & $topic'`,
  ];
  static override args = {
    file: Args.string({ required: true, description: 'Recording from aiot stream record.' }),
  };
  static override flags = {
    to: Flags.string({ required: true, summary: 'Destination address.', env: 'AIOT_TO', helpValue: 'URL' }),
    speed: replaySpeed({
      summary: 'Replay speed: original, max, or a factor [default: original].',
      env: 'AIOT_SPEED',
    }),
    where: Flags.string({
      summary: 'Replay only messages for which this JSONata expression is true.',
      env: 'AIOT_WHERE',
      helpValue: 'EXPR',
    }),
    topic: Flags.string({
      summary: `JSONata expression for each message's topic, such as '"copy/" & $topic'.`,
      env: 'AIOT_TOPIC',
      helpValue: 'EXPR',
    }),
    'keep-time': Flags.boolean({
      summary: 'Kafka: use the recorded times instead of the current time.',
      env: 'AIOT_KEEP_TIME',
    }),
    ...brokerFlags,
  };
  static override result = replayedSchema;

  async run() {
    const { args, flags } = await this.input(StreamReplay);
    const { to, speed = 1, where, topic } = flags;
    const { update } = this.progress();
    const headless = headerLoss();
    const replayed = await replay({
      ...(await brokerOptions(flags)),
      ...{ file: args.file, to, speed, where, topic, keepTime: flags['keep-time'] },
      signal: this.signal,
      onHeadersDropped: headless.add,
      onProgress: ({ messages }) => update({ text: 'replaying', done: messages }),
    });
    if (headless.text) this.caution(headless.text);
    const { messages, bytes, seconds, rate, url } = replayed;
    this.print(
      `${plural(messages, 'message')}, ${size(bytes)}, to ${url} in ${seconds.toFixed(1)} s: ${Math.round(rate)}/s`,
    );
    return replayed;
  }
}
