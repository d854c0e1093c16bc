import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { brokerFlags, brokerOptions } from '../../lib/cli/flags/brokers.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { readFlags, readOptions, selectFlags, viewFlags } from '../../lib/cli/flags/streams.js';
import { junitOf } from '../../lib/cli/junit.js';
import { createTailView, silenceNote, tailNotes, tailSummary } from '../../lib/cli/live/stream-tail.js';
import { lostText } from '../../lib/cli/render/streams.js';
import { dim } from '../../lib/cli/render/text.js';
import type { AiotError } from '../../lib/core/errors.js';
import { printable } from '../../lib/core/text.js';
import { messageLineSchema } from '../../lib/stream/file/line.js';
import { tailSummarySchema } from '../../lib/stream/tail/missing-fields.js';
import { streamStatisticsSchema } from '../../lib/stream/tail/statistics.js';
import { type TailProgress, tail } from '../../lib/stream/tail/tail.js';

export default class StreamTail extends AiotCommand {
  static override summary = 'Follow streams, one line per message.';
  static override description =
    'Messages from several brokers are merged by time. URL is mqtt(s)://[USER:PASSWORD@]HOST[:PORT]/FILTER, kafka://HOST/TOPIC, nats://HOST/SUBJECT, serial:///dev/ttyUSB0, aiot:///FILTER for the current platform, file:///PATH, or stdin: for message lines. Expressions are JSONata: the root is the payload, and $topic, $time, $key, $headers and $source describe the message. With --json, the last line is a summary if --never is set, or if an expression or --fields names a field that no message contained.';
  static override examples = [
    "<%= config.bin %> <%= command.id %> 'mqtt://127.0.0.1:1883/sensors/#'",
    "<%= config.bin %> <%= command.id %> mqtt://127.0.0.1/plant --where 'temperature > 80' --fields deviceID,temperature",
    "<%= config.bin %> <%= command.id %> mqtt://127.0.0.1/plant --expect 'temperature > 80' --within 5s",
    "<%= config.bin %> <%= command.id %> mqtt://127.0.0.1/plant --never 'temperature > 120' --for 1m --junit plant.xml",
    '<%= config.bin %> <%= command.id %> kafka://127.0.0.1/readings --from beginning --count 3 --json',
    "<%= config.bin %> <%= command.id %> 'mqtt://127.0.0.1/#' 'nats://127.0.0.1/plant.>' --rate",
  ];
  static override strict = false;
  static override args = {
    urls: Args.string({
      required: true,
      description: 'Addresses to follow; several are merged into one view.',
    }),
  };
  static override flags = {
    count: Flags.integer({
      char: 'n',
      min: 1,
      summary: 'Stop after this many messages.',
      env: 'AIOT_COUNT',
      helpValue: 'N',
    }),
    for: duration({
      summary: 'Stop after this time, such as 30s; exits with 0, or with 124 if --expect was not met.',
      env: 'AIOT_FOR',
    }),
    timeout: {
      ...shared.timeout,
      summary: 'Stop after this time, such as 30s or 5m, and exit with 124.',
    },
    junit: shared.junit,
    ...viewFlags,
    ...selectFlags,
    ...readFlags,
    ...brokerFlags,
  };
  static override result = z.union([messageLineSchema, streamStatisticsSchema, tailSummarySchema]);

  async run() {
    const { words, flags } = await this.input(StreamTail);
    const { count, for: forMs, timeout: timeoutMs, within: withinMs, format = 'pretty', template } = flags;
    const { where, map, fields, decode, schema, expect, never, rate, stats, plot } = flags;
    const view = await createTailView({
      ...{ format, template, fields, decode, rate, stats, plot },
      json: this.jsonEnabled(),
      several: words.length > 1,
      terminal: process.stdout.isTTY === true,
      stdout: process.stdout,
      write: (chunk) => this.put(chunk),
    });
    const selected = { where, map, fields, decode, schema, messageType: flags['message-type'] };
    const limits = { count, forMs, timeoutMs, withinMs, expect, never };
    const silence = silenceNote(words[0] ?? '', (text) => this.note(dim(text)));
    const options = {
      ...(await brokerOptions(flags)),
      ...readOptions(flags),
      ...selected,
      ...limits,
      urls: words,
      signal: this.signal,
      onOpen: (endpoint: string) => this.note(dim(`Following ${endpoint}`)),
      onProgress: (progress: TailProgress) => {
        silence(progress);
        view.progress?.(progress);
      },
      onState: (state: string, error?: AiotError) => state === 'disconnected' && this.note(lostText(error)),
      onNotice: (notice: string) => this.caution(printable(notice)),
    };
    const follow = () => tail(options, view);
    const checked = { command: 'stream tail', name: expect ?? never };
    const end = await (flags.junit === undefined
      ? follow()
      : junitOf({ file: flags.junit, ...checked }, follow));
    const shown = await view.end(end);
    const { note, cautions } = tailNotes(end, { where, never });
    this.note(dim(note));
    for (const caution of cautions) this.caution(caution);
    if (end.ended === 'interrupted') this.exitsWith(130);
    return (shown ?? tailSummary(end, never)) as z.output<typeof StreamTail.result> | undefined;
  }
}
