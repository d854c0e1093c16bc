import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { changeSettings } from '../../../lib/api/change-devices.js';
import { deviceSettingsSchema, settingsInfoSchema } from '../../../lib/api/contract/settings.js';
import { settingWordsOf } from '../../../lib/cli/flags/fleet.js';
import { duration, shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { settingsText } from '../../../lib/cli/render/fleet.js';

export default class DeviceSettingsSet extends PlatformCommand {
  static override summary = 'Set or remove settings of a device or a group.';
  static override description =
    'SETTING=VALUE overrides a setting, and SETTING- (with a trailing hyphen) removes the override. VALUE is JSON or text. A setting within an object has dots in its name. With --group, all arguments are settings; otherwise the first one is the device name. The platform checks the values against the schema, and offline devices receive them when they connect. With --wait, the command ends when the device has applied them.';
  static override usage = 'device settings set [NAME] SETTING=VALUE… SETTING-…';
  static override examples = [
    '<%= config.bin %> <%= command.id %> pump-7 rpm=900 report.everyS=10',
    '<%= config.bin %> <%= command.id %> pump-7 rpm- --wait --timeout 30s',
    '<%= config.bin %> <%= command.id %> --group lab rpm=600 --json',
  ];
  static override strict = false;
  static override args = {
    name: Args.string({ description: 'Device name, instead of --group.' }),
    settings: Args.string({ description: 'Any number of SETTING=VALUE, or SETTING- to remove an override.' }),
  };
  static override flags = {
    group: Flags.string({
      summary: 'Group whose devices get the settings, instead of a device name.',
      env: 'AIOT_GROUP',
      helpValue: 'GROUP',
      exclusive: ['wait'],
    }),
    type: Flags.string({
      summary: 'Type of the devices in the group [default: the only type with settings].',
      env: 'AIOT_TYPE',
      helpValue: 'TYPE',
    }),
    priority: Flags.integer({
      summary: 'Priority of the group: a group with a higher priority overrides the others [default: 0].',
      env: 'AIOT_PRIORITY',
      min: 0,
      max: 1000,
    }),
    wait: Flags.boolean({ summary: 'Wait until the device has applied the settings.', env: 'AIOT_WAIT' }),
    timeout: duration({
      ...{ summary: 'Maximum time to wait.', env: 'AIOT_TIMEOUT', default: 60_000, min: 1000 },
    }),
    context: shared.context,
  };
  static override result = z.union([deviceSettingsSchema, settingsInfoSchema]);

  async run() {
    const input = await this.input(DeviceSettingsSet);
    const { group, type, priority, wait: waits, timeout: timeoutMs } = input.flags;
    const change = settingWordsOf(input.words, { group, type, priority });
    const { signal } = this;
    return this.ask(
      input,
      (client) => changeSettings({ client, ...change, waits, timeoutMs, signal }),
      settingsText,
      (result) => ('device' in result ? [`aiot device settings show ${result.device}`] : []),
    );
  }
}
