import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { duration } from '../../lib/cli/flags/shared.js';
import { readFlags, readOptions, selectFlags } from '../../lib/cli/flags/streams.js';
import { missingCautions } from '../../lib/cli/live/stream-tail.js';
import { lostText } from '../../lib/cli/render/streams.js';
import { dim, next } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { printable, shellWord } from '../../lib/core/text.js';
import { record, recordedSchema } from '../../lib/stream/tail/record.js';

const { 'no-drop': _, ...from } = readFlags;

export default class StreamRecord extends AiotCommand {
  static override summary = 'Record streams into one file.';
  static override description =
    'Each message is one line of JSON with its time, topic, key, headers and payload; aiot stream replay restores payloads byte for byte. Nothing is dropped: the sender is slowed down instead. The file is compressed if its name ends in .gz. Press Ctrl-C to stop.';
  static override examples = [
    "<%= config.bin %> <%= command.id %> 'mqtt://127.0.0.1:1883/#' --out x.ndjson",
    '<%= config.bin %> <%= command.id %> kafka://127.0.0.1/readings --from beginning --count 1000 --out x.ndjson.gz',
  ];
  static override strict = false;
  static override args = { urls: Args.string({ required: true, description: 'Addresses to record.' }) };
  static override flags = {
    out: Flags.string({
      char: 'o',
      required: true,
      summary: 'File to append to.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
    count: Flags.integer({
      char: 'n',
      min: 1,
      summary: 'Stop after this many messages.',
      env: 'AIOT_COUNT',
      helpValue: 'N',
    }),
    for: duration({ summary: 'Stop after this time, such as 30s.', env: 'AIOT_FOR' }),
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
      onOpen: (endpoint) => this.note(dim(`Recording ${endpoint}`)),
      onState: (state, error) => state === 'disconnected' && this.note(lostText(error)),
      onNotice: (notice) => this.caution(printable(notice)),
      onRecorded: (messages) => update({ text: 'recording', done: messages, total: count }),
    });
    const { messages, seen, missingFields: missing } = recorded;
    this.print(`${plural(messages, 'message')} in ${out}`);
    for (const caution of missingCautions({ seen, missing })) this.caution(caution);
    this.suggest(next(`aiot stream replay ${shellWord(out)} --to URL`));
    return recorded;
  }
}
