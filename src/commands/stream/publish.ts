import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions, brokerWords } from '../../lib/cli/flags/brokers.js';
import { decimal } from '../../lib/cli/flags/shared.js';
import { header } from '../../lib/cli/flags/streams.js';
import { headerLoss } from '../../lib/cli/render/streams.js';
import { next } from '../../lib/cli/render/text.js';
import { plural, size } from '../../lib/core/figures.js';
import { shellWord } from '../../lib/core/text.js';
import { publish, publishedManySchema, publishedSchema } from '../../lib/stream/publish/publish.js';

export default class StreamPublish extends AiotCommand {
  static override summary = 'Publish messages and wait for the acknowledgments.';
  static override description =
    'To publish one message, pass MESSAGE, --file or stdin. To publish many, use --lines or a --file that ends in .ndjson or .jsonl: each line is a message. Lines from aiot stream record are published as recorded, with their topics; any other line is a payload. --template generates a new payload for each message. A topic in the URL overrides recorded topics.';
  static override aliases = ['stream:pub'];
  static override examples = [
    '<%= config.bin %> <%= command.id %> mqtt://127.0.0.1:1883/sensors/a \'{"x":1}\'',
    '<%= config.bin %> <%= command.id %> aiot:///sensors/a --file reading.json --retain',
    '<%= config.bin %> <%= command.id %> mqtt://127.0.0.1/sensors/a 21.5 --header unit=C --header room=12',
    '<%= config.bin %> <%= command.id %> kafka://127.0.0.1/readings --file messages.ndjson --rate 0',
    `<%= config.bin %> <%= command.id %> mqtt://127.0.0.1/t --template '{"n": {{n}}, "t": {{20 + $random()}}}' --count 100 --rate 10`,
  ];
  static override args = {
    url: Args.string({ required: true, description: 'Broker address and topic.', ignoreStdin: true }),
    message: Args.string({ description: 'Payload as text.', ignoreStdin: true }),
  };
  static override flags = {
    file: Flags.string({
      summary: 'File with the payload, or with messages.',
      env: 'AIOT_FILE',
      helpValue: 'PATH',
    }),
    lines: Flags.boolean({
      summary: 'Publish each line of the file or stdin as a message.',
      env: 'AIOT_LINES',
    }),
    template: Flags.string({
      char: 't',
      summary:
        'Template for payloads: {{ }} contains JSONata; n = message number from 0, $time = current time.',
      env: 'AIOT_TEMPLATE',
      helpValue: 'TEXT',
    }),
    count: Flags.integer({
      char: 'n',
      min: 1,
      summary: 'Number of messages to publish [default: 1, or every line; with --rate, until Ctrl-C].',
      env: 'AIOT_COUNT',
      helpValue: 'N',
    }),
    rate: decimal({
      summary: 'Messages per second; 0 = as fast as possible [default: 0].',
      env: 'AIOT_RATE',
    }),
    qos: Flags.option({ options: ['0', '1', '2'] as const })({
      summary: 'MQTT: 1 and 2 wait for the acknowledgment, 0 does not [default: 1].',
      env: 'AIOT_QOS',
    }),
    retain: Flags.boolean({
      summary: 'MQTT: the broker retains the message for later subscribers.',
      env: 'AIOT_RETAIN',
    }),
    'message-key': Flags.string({
      summary: 'Message key (Kafka).',
      env: 'AIOT_MESSAGE_KEY',
      helpValue: 'TEXT',
    }),
    header: header({
      summary: 'Message header: MQTT 5 user property, Kafka or NATS header. Repeatable.',
      env: 'AIOT_HEADER',
      multiple: true,
    }),
    ...brokerFlags,
  };
  static override result = z.union([publishedManySchema, publishedSchema]);

  async run() {
    const { args, flags, given } = await this.input(StreamPublish);
    const { file, lines, template, count, rate, retain, header: headers } = flags;
    const { update } = this.progress();
    const headless = headerLoss();
    const published = await publish({
      ...(await brokerOptions(flags)),
      ...{ url: args.url, message: args.message, file, lines, template, count, rate, retain, headers },
      qos: flags.qos && (Number(flags.qos) as 0 | 1 | 2),
      messageKey: flags['message-key'],
      input: process.stdin,
      signal: this.signal,
      onHeadersDropped: headless.add,
      onProgress: ({ messages }) => update({ text: 'publishing', done: messages, total: count }),
    });
    if (headless.text) this.caution(headless.text);
    const told = published.acknowledged ? 'acknowledged' : 'sent without acknowledgment (QoS 0)';
    const what = 'messages' in published ? `${plural(published.messages, 'message')}, ` : '';
    const speed = 'rate' in published ? `, ${Math.round(published.rate)}/s` : '';
    this.print(`${what}${size(published.bytes)} to ${published.url}: ${told}${speed}`);
    if (/^(mqtt|ws|kafka|nats|aiot|file)/.test(published.url) && 'topic' in published) {
      const isStored = retain || /^(kafka|file)/.test(published.url);
      const tail = `aiot stream tail ${shellWord(published.url)}${brokerWords(flags, given)}`;
      if (!isStored) this.print(`Only clients that were already subscribed received it, such as ${tail}`);
      else this.suggest(next(/^kafka/.test(published.url) ? `${tail} --from beginning` : tail));
    }
    return published;
  }
}
