import { Args } from '@oclif/core';
import { devicesChangedSchema } from '../../lib/api/change-devices.js';
import { DeviceChangeCommand } from '../../lib/cli/device-change.js';
import { fleetFlags, groupingOf } from '../../lib/cli/flags/fleet.js';

export default class DeviceGroup extends DeviceChangeCommand {
  static override summary = 'Add devices to groups, or remove them from groups.';
  static override description =
    'A device can be in several groups. Selectors match groups with group=NAME. GROUP adds the device to a group, and GROUP- (with a trailing hyphen) removes it. With --selector, all arguments are groups; otherwise the first one is the device name.';
  static override usage = 'device group [NAME] GROUP… GROUP-…';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1 hall-2 canaries',
    "<%= config.bin %> <%= command.id %> --selector 'site=lab' canaries- --dry-run",
  ];
  static override strict = false;
  static override args = {
    name: Args.string({ description: 'Device name, instead of --selector.' }),
    groups: Args.string({ description: 'Any number of groups: GROUP to add, or GROUP- to remove.' }),
  };
  static override flags = fleetFlags;
  static override result = devicesChangedSchema;

  async run() {
    const { words, flags, given } = await this.input(DeviceGroup);
    const { name, change } = groupingOf(words, flags.selector);
    return this.change({ name, flags, given }, change, () => 'aiot device list --selector group=NAME');
  }
}
