import { Args } from '@oclif/core';
import * as z from 'zod';
import { deviceSettingsSchema, settingsListSchema } from '../../../lib/api/contract/settings.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { settingsText } from '../../../lib/cli/render/fleet.js';

export default class DeviceSettingsShow extends PlatformCommand {
  static override summary = "Show a device's settings, or those of all types.";
  static override description =
    'For a device, it shows each value with its source, and the values that the device reports if they differ. Without a device, it shows the settings of each type, and the overrides for groups.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> pump-7',
    '<%= config.bin %> <%= command.id %> pump-7 --json',
    '<%= config.bin %> <%= command.id %>',
  ];
  static override args = {
    name: Args.string({ description: 'Device name [default: the settings of all types].' }),
  };
  static override flags = { context: shared.context };
  static override result = z.union([deviceSettingsSchema, settingsListSchema]);

  async run() {
    const input = await this.input(DeviceSettingsShow);
    const { name } = input.args;
    return this.ask(
      input,
      async (client) =>
        name === undefined ? { settings: await client.settings.list() } : client.settings.of(name),
      settingsText,
      () => [],
    );
  }
}
