import { Args, Flags } from '@oclif/core';
import { AiotCommand, next, shared, shellWord, size } from '../../lib/cli/index.js';
import { credentialsFrom, payloadFrom, publishedSchema, publishMessage } from '../../lib/stream/index.js';

export default class StreamPub extends AiotCommand {
  static override summary = 'Publish one message, and wait until the broker has it.';
  static override description =
    'URL is mqtt(s)://[USER:PASSWORD@]HOST[:PORT]/TOPIC, aiot:///TOPIC for the platform in use, or file:///PATH. Without MESSAGE and --file the payload is read from stdin.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> mqtt://127.0.0.1:1883/sensors/a \'{"x":1}\'',
    '<%= config.bin %> <%= command.id %> aiot:///sensors/a --file reading.json --retain',
  ];
  static override args = {
    url: Args.string({ required: true, description: 'Where to, with the topic.' }),
    message: Args.string({ description: 'The payload, as text.' }),
  };
  static override flags = {
    file: Flags.string({ summary: 'File whose bytes are the payload.', env: 'AIOT_FILE', helpValue: 'PATH' }),
    qos: Flags.integer({
      summary: '1 waits for the acknowledgement, 0 does not.',
      min: 0,
      max: 1,
      default: 1,
      env: 'AIOT_QOS',
    }),
    retain: Flags.boolean({ summary: 'The broker keeps it for later subscribers.', env: 'AIOT_RETAIN' }),
    context: shared.context,
    ca: shared.ca,
    cert: shared.cert,
    key: shared.key,
  };
  static override result = publishedSchema;

  async run() {
    const { args, flags } = await this.input(StreamPub);
    const published = await publishMessage({
      ...(await credentialsFrom(flags)),
      url: args.url,
      payload: await payloadFrom({ message: args.message, file: flags.file }, this.signal),
      context: flags.context,
      qos: flags.qos === 0 ? 0 : 1,
      retain: flags.retain,
      signal: this.signal,
    });
    const told = published.acknowledged ? 'acknowledged' : 'sent, without an acknowledgement (QoS 0)';
    this.print(`${size(published.bytes)} to ${published.url}: ${told}`);
    this.print(next(`aiot stream tail ${shellWord(published.url)}`));
    return published;
  }
}
