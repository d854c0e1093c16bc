import { Args } from '@oclif/core';
import { devicesChangedSchema } from '../../lib/api/change-devices.js';
import { DeviceChangeCommand } from '../../lib/cli/device-change.js';
import { fleetFlags, taggingOf } from '../../lib/cli/flags/fleet.js';

export default class DeviceTag extends DeviceChangeCommand {
  static override summary = 'Set or remove device tags.';
  static override description =
    'A tag is a name and a value that selectors can match. TAG=VALUE sets a tag, and TAG- (with a trailing hyphen) removes it. With --selector, all arguments are tags; otherwise the first one is the device name.';
  static override usage = 'device tag [NAME] TAG=VALUE… TAG-…';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1 site=lab floor=2 old-',
    "<%= config.bin %> <%= command.id %> --selector 'type=esp32 and group=hall-2' site=lab --dry-run",
  ];
  static override strict = false;
  static override args = {
    name: Args.string({ description: 'Device name, instead of --selector.' }),
    tags: Args.string({ description: 'Any number of TAG=VALUE to set a tag, or TAG- to remove one.' }),
  };
  static override flags = fleetFlags;
  static override result = devicesChangedSchema;

  async run() {
    const { words, flags, given } = await this.input(DeviceTag);
    const { name, change } = taggingOf(words, flags.selector);
    return this.change({ name, flags, given }, change, () => 'aiot device list --selector TAG=VALUE');
  }
}
