import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { eventFrom, eventTypes } from '../../lib/cli/flags/platform.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { eventText } from '../../lib/cli/render/platform.js';
import { dim } from '../../lib/cli/render/style.js';
import { plural } from '../../lib/core/figures.js';
import { withClient } from '../../lib/registry/context.js';
import { eventSchema } from '../../lib/registry/events/api.js';
import { tailEvents } from '../../lib/registry/events/tail.js';

export default class EventsTail extends AiotCommand {
  static override summary = 'Show what was changed on the platform: one line an event.';
  static override description =
    'The newest ones, or all behind the event --from. With --follow or --count it goes on with those to come, each once and in order, also when the platform is started again meanwhile.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    "<%= config.bin %> <%= command.id %> --follow --type 'device.*'",
    '<%= config.bin %> <%= command.id %> --from 0 --json --count 10',
    '<%= config.bin %> <%= command.id %> --from now --type rollout.end --count 1 --timeout 10m',
    '<%= config.bin %> <%= command.id %> --subject har --from 0',
  ];
  static override flags = {
    from: eventFrom({
      summary: 'Begin behind the event with this id; 0 = the oldest that is kept, now = those to come.',
      env: 'AIOT_FROM',
      helpValue: 'ID|now',
    }),
    type: eventTypes({
      summary: 'These alone: device.connect, device.* and so on, comma-separated.',
      env: 'AIOT_TYPE',
      helpValue: 'TYPE,…',
    }),
    subject: Flags.string({
      summary: 'Of this alone: a device, a version such as har@3, or har for all of its versions.',
      env: 'AIOT_SUBJECT',
      helpValue: 'NAME',
    }),
    count: Flags.integer({ char: 'n', min: 1, summary: 'End after so many.', env: 'AIOT_COUNT' }),
    follow: Flags.boolean({
      char: 'f',
      summary: 'Go on with those to come, until Ctrl-C.',
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
          onState: (state) => state === 'disconnected' && this.note('connection lost, trying again'),
        },
        (event) => this.item(event, () => eventText(event)),
      ),
    );
    this.note(dim(plural(shown, 'event')));
    return undefined;
  }
}
