import { Flags } from '@oclif/core';
import { crashListSchema } from '../../../lib/api/contract/crashes.js';
import { selectorTexts } from '../../../lib/cli/flags/fleet.js';
import { duration, pageFlags, shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { crashesText } from '../../../lib/cli/render/crashes.js';

export default class DeviceCrashesList extends PlatformCommand {
  static override summary = 'List crashes, grouped by their cause.';
  static override description =
    'Groups the crashes of all devices, loops and versions by signature: crashes with the same signature happened in the same calls. The group with the newest crash is first.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --selector pump-7',
    '<%= config.bin %> <%= command.id %> --firmware-version 1.4.2 --since 24h --json',
  ];
  static override flags = {
    selector: Flags.string({
      ...selectorTexts,
      summary: 'Only crashes of these devices or loops: a name, a list or an expression.',
    }),
    'firmware-version': Flags.string({
      summary: 'Only crashes of this version of a program.',
      env: 'AIOT_FIRMWARE_VERSION',
      helpValue: 'VERSION',
    }),
    since: duration({
      summary: 'Only groups with a crash within this time, such as 24h [default: all].',
      env: 'AIOT_SINCE',
    }),
    ...pageFlags,
    context: shared.context,
  };
  static override result = crashListSchema;

  async run() {
    const input = await this.input(DeviceCrashesList);
    const { selector, limit, after, 'firmware-version': version, since: age } = input.flags;
    const since = age === undefined ? undefined : Date.now() - age;
    return this.ask(
      input,
      ({ crashes }) => crashes.list({ limit, selector, version, since, after }),
      (list) => crashesText(list),
      ({ groups: [first] }) => [
        first ? `aiot device crashes show ${first.signature}` : 'aiot status --attention',
      ],
    );
  }
}
