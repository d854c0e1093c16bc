import { Flags } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { eventSchema } from '../../lib/api/events/api.js';
import { tailEvents } from '../../lib/api/events/tail.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { eventFrom, eventTypes } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { eventText } from '../../lib/cli/render/platform.js';
import { dim } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';

export default class EventsTail extends AiotCommand {
  static override summary = 'Show platform events, one per line.';
  static override description =
    'Shows the newest events, or all events after --from. With --follow or --count, also waits for new events. Each event is shown exactly once and in order, even across a platform restart.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    "<%= config.bin %> <%= command.id %> --follow --type 'device.*'",
    '<%= config.bin %> <%= command.id %> --from 0 --json --count 10',
    '<%= config.bin %> <%= command.id %> --from now --type rollout.end --count 1 --timeout 10m',
    '<%= config.bin %> <%= command.id %> --subject har --from 0',
  ];
  static override flags = {
    from: eventFrom({
      summary: 'Start after the event with this ID; 0 = the oldest available, now = only new events.',
      env: 'AIOT_FROM',
      helpValue: 'ID|now',
    }),
    type: eventTypes({
      summary: 'Only events of these comma-separated types, such as device.connect or device.*.',
      env: 'AIOT_TYPE',
      helpValue: 'TYPE,…',
    }),
    subject: Flags.string({
      summary:
        'Only events about this subject: a device, a version such as har@3, or har for all its versions.',
      env: 'AIOT_SUBJECT',
      helpValue: 'NAME',
    }),
    count: Flags.integer({
      char: 'n',
      min: 1,
      summary: 'Stop after this many events.',
      env: 'AIOT_COUNT',
      helpValue: 'N',
    }),
    follow: Flags.boolean({
      char: 'f',
      summary: 'Keep waiting for new events, until Ctrl-C.',
      env: 'AIOT_FOLLOW',
    }),
    timeout: shared.timeout,
    context: shared.context,
  };
  static override result = eventSchema;

  async run(): Promise<undefined> {
    const { flags } = await this.input(EventsTail);
    const { from, type: types, subject, count, follow, timeout: timeoutMs } = flags;
    const shown = await withClient(flags.context, (client) =>
      tailEvents(
        client,
        {
          ...{ from, types, subject, count, follow, timeoutMs, signal: this.signal },
          onState: (state) => state === 'disconnected' && this.note('Connection lost. Retrying…'),
        },
        (event) => this.item(event, () => eventText(event)),
      ),
    );
    this.note(dim(plural(shown, 'event')));
    return undefined;
  }
}
