import { Args, Flags } from '@oclif/core';
import { AiotCommand, dim, duration, plural, shared, timeOfDay } from '../../lib/cli/index.js';
import {
  credentialsFrom,
  type Message,
  messageLineSchema,
  printable,
  printablePayload,
  tail,
  toLine,
} from '../../lib/stream/index.js';

export default class StreamTail extends AiotCommand {
  static override summary = 'Follow a stream: one line a message.';
  static override description =
    'URL is mqtt(s)://[USER:PASSWORD@]HOST[:PORT]/FILTER, aiot:///FILTER for the platform in use, file:///PATH or stdin: for message lines.';
  static override examples = [
    "<%= config.bin %> <%= command.id %> 'mqtt://127.0.0.1:1883/sensors/#'",
    "<%= config.bin %> <%= command.id %> 'aiot:///aiot/v1/+/inference' --for 30s",
    '<%= config.bin %> <%= command.id %> mqtt://127.0.0.1 --count 3 --timeout 10s --json',
  ];
  static override args = { url: Args.string({ required: true, description: 'Where the messages are.' }) };
  static override flags = {
    count: Flags.integer({ char: 'n', min: 1, summary: 'End after so many.', env: 'AIOT_COUNT' }),
    for: duration({ summary: 'End after this time, such as 30s.', env: 'AIOT_FOR' }),
    timeout: shared.timeout,
    format: Flags.option({ options: ['pretty', 'json', 'raw'] as const })({
      summary: 'How a message is printed; raw is the payload alone.',
      default: 'pretty',
      env: 'AIOT_FORMAT',
    }),
    context: shared.context,
    ca: shared.ca,
    cert: shared.cert,
    key: shared.key,
  };
  static override result = messageLineSchema;

  async run() {
    const { args, flags } = await this.input(StreamTail);
    const print: Record<typeof flags.format, (message: Message) => string> = {
      pretty: ({ topic, time, payload }) =>
        `${dim(timeOfDay(time))}  ${printable(topic)}  ${printablePayload(payload)}`,
      json: (message) => JSON.stringify(toLine(message)),
      raw: ({ payload }) => printablePayload(payload),
    };
    const { context, count, for: forMs, timeout: timeoutMs } = flags;
    const end = await tail(
      {
        ...(await credentialsFrom(flags)),
        url: args.url,
        context,
        count,
        forMs,
        timeoutMs,
        signal: this.signal,
        onOpen: (endpoint) => this.note(dim(`following ${endpoint}`)),
        onState: (state) => state === 'disconnected' && this.note('connection lost, trying again'),
      },
      (message) => this.item(toLine(message), () => print[flags.format](message)),
    );
    this.note(dim(`${plural(end.messages, 'message')}${end.dropped > 0 ? `, ${end.dropped} dropped` : ''}`));
  }
}
