import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { type LogsWanted, readLogs } from '../../lib/api/change-devices.js';
import { withClient } from '../../lib/api/context.js';
import { deviceMessagesSchema, logLevels, logPageSchema } from '../../lib/api/contract/devices.js';
import { logQueryOf, selectorTexts } from '../../lib/cli/flags/fleet.js';
import { pageFlags, pastTime, shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { logLineText, logsText } from '../../lib/cli/render/fleet.js';

export default class DeviceLogs extends PlatformCommand {
  static override summary = 'Show the latest log lines of one or many devices.';
  static override description =
    'With a device name, shows its latest stored messages; with --channel, those are model predictions or replies to commands. Without a name, searches the log lines of all devices, or of those of --selector, newest first. With --follow, prints the latest lines and then new ones, each once, even across a lost connection. With --json, it prints each line as an object. To see telemetry, use aiot stream tail.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> bench-1',
    '<%= config.bin %> <%= command.id %> bench-1 --channel inference --since 10m --json',
    '<%= config.bin %> <%= command.id %> --selector type=esp32 --level warn --contains wifi --since 2h',
    '<%= config.bin %> <%= command.id %> --since 2026-11-20T10:00Z --until 2026-11-20T11:00Z',
    '<%= config.bin %> <%= command.id %> --follow --level error',
  ];
  static override args = {
    name: Args.string({ description: 'Device name [default: search many devices].' }),
  };
  static override flags = {
    channel: Flags.option({
      summary: 'Messages of the device: log lines, model predictions, or replies to commands.',
      options: ['log', 'inference', 'reply'] as const,
      default: 'log' as const,
      env: 'AIOT_CHANNEL',
    })(),
    selector: Flags.string({
      ...selectorTexts,
      summary: 'Search only these devices: a name, a list or an expression.',
    }),
    level: Flags.option({
      summary: 'Search only lines of this level or a more severe one.',
      options: logLevels,
      env: 'AIOT_LEVEL',
    })(),
    contains: Flags.string({
      summary: 'Search only lines with this text, in upper or lower case.',
      env: 'AIOT_CONTAINS',
      helpValue: 'TEXT',
    }),
    since: pastTime({
      summary: 'Earliest message to show: an age such as 24h, or a time such as 2026-11-20T10:36:38Z.',
      default: { ageMs: 3600_000 },
      env: 'AIOT_SINCE',
    }),
    until: pastTime({
      summary: 'Latest line to search: an age such as 30m, or a time.',
      env: 'AIOT_UNTIL',
    }),
    limit: Flags.integer({
      summary: 'Maximum number of entries.',
      default: 50,
      min: 1,
      max: 1000,
      env: 'AIOT_LIMIT',
      helpValue: 'N',
    }),
    follow: Flags.boolean({
      char: 'f',
      summary: 'Print the latest lines, and keep waiting for new ones until Ctrl-C.',
      env: 'AIOT_FOLLOW',
    }),
    after: pageFlags.after,
    context: shared.context,
  };
  static override result = z.union([deviceMessagesSchema.shape.messages, logPageSchema]);

  async run() {
    const input = await this.input(DeviceLogs);
    const { name } = input.args;
    const query = logQueryOf(name, input.flags);
    if (input.flags.follow) return this.follow(input.flags.context, query);
    return this.ask(
      input,
      (client) => readLogs(client, query),
      (found) => logsText(query.channel, found),
      () => (name === undefined ? [] : [`aiot device show ${name}`]),
    );
  }

  private async follow(
    context: string | undefined,
    { name, limit, ...query }: LogsWanted,
  ): Promise<undefined> {
    const { level, contains, since, selector = name } = query;
    const onState = (state: string) => state === 'disconnected' && this.note('Connection lost. Retrying…');
    await withClient(context, async ({ devices }) => {
      const options = { level, contains, since, selector, newest: limit, signal: this.signal, onState };
      try {
        for await (const line of devices.followLogs(options)) this.item(line, () => logLineText(line));
      } catch (error) {
        if (!this.signal.aborted) throw error;
      }
    });
    return undefined;
  }
}
