import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { createdText } from '../../lib/cli/render/streams.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { createdSchema, createTopics } from '../../lib/stream/broker/create.js';

export default class StreamCreate extends AiotCommand {
  static override summary = 'Create Kafka topics and JetStream streams from a file.';
  static override description =
    "Existing topics and streams are changed where possible, and otherwise left unchanged, so you can apply the same file again. For the file's format, run aiot docs brokers.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> topics.yaml',
    '<%= config.bin %> <%= command.id %> motion-stream.yaml --at nats://127.0.0.1 --dry-run',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'YAML file of topics and streams.' }),
  };
  static override flags = {
    at: Flags.string({
      summary: 'Broker to use instead of the one in the file.',
      env: 'AIOT_AT',
      helpValue: 'URL',
    }),
    'dry-run': shared['dry-run'],
    ...brokerFlags,
  };
  static override result = createdSchema;

  async run() {
    const { args, flags } = await this.input(StreamCreate);
    const created = await createTopics({
      ...(await brokerOptions(flags)),
      ...(flags.at === undefined ? {} : { at: flags.at }),
      file: args.file,
      dryRun: flags['dry-run'],
      signal: this.signal,
    });
    this.print(createdText(created));
    this.suggest(next(`aiot stream list ${shellWord(created.endpoint)}`));
    return created;
  }
}
