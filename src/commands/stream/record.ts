import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { duration } from '../../lib/cli/flags/shared.js';
import { readFlags, readOptions, selectFlags } from '../../lib/cli/flags/streams.js';
import { dim } from '../../lib/cli/render/style.js';
import { next } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { shellWord } from '../../lib/core/text.js';
import { record, recordedSchema } from '../../lib/stream/tail/record.js';

const { 'no-drop': _, ...from } = readFlags;

export default class StreamRecord extends AiotCommand {
  static override summary =
    'Record streams into one file: time, topic, key, headers and payload of each message.';
  static override description =
    'One line of JSON a message; payloads come back byte for byte with aiot stream replay. Nothing is dropped: the sender is held up. Packed where the name ends with .gz. Ctrl-C ends it well.';
  static override examples = [
    "<%= config.bin %> <%= command.id %> 'mqtt://127.0.0.1:1883/#' --out x.ndjson",
    '<%= config.bin %> <%= command.id %> kafka://127.0.0.1/readings --from beginning --count 1000 --out x.ndjson.gz',
  ];
  static override strict = false;
  static override args = { urls: Args.string({ required: true, description: 'Where the messages are.' }) };
  static override flags = {
    out: Flags.string({
      char: 'o',
      required: true,
      summary: 'File to write on.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
    count: Flags.integer({ char: 'n', min: 1, summary: 'End after so many.', env: 'AIOT_COUNT' }),
    for: duration({ summary: 'End after this time, such as 30s.', env: 'AIOT_FOR' }),
    ...selectFlags,
    ...from,
    ...brokerFlags,
  };
  static override result = recordedSchema;

  async run() {
    const { words, flags } = await this.input(StreamRecord);
    const { out, count, for: forMs, where, decode, schema } = flags;
    const { update } = this.progress();
    const recorded = await record({
      ...(await brokerOptions(flags)),
      ...readOptions({ ...flags, 'no-drop': true }),
      ...{ out, count, forMs, where, decode, schema, messageType: flags['message-type'] },
      urls: words,
      signal: this.signal,
      onOpen: (endpoint) => this.note(dim(`recording ${endpoint}`)),
      onState: (state) => state === 'disconnected' && this.note('connection lost, trying again'),
      onRecorded: (messages) => update({ text: 'recording', done: messages, total: count }),
    });
    this.print(`${plural(recorded.messages, 'message')} in ${out}`);
    this.print(next(`aiot stream replay ${shellWord(out)} --to URL`));
    return recorded;
  }
}
