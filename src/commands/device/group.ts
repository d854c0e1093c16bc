import { DeviceChangeCommand } from '../../lib/cli/device-change.js';
import { fleetFlags, groupingOf } from '../../lib/cli/flags/fleet.js';
import { devicesChangedSchema } from '../../lib/registry/change-devices.js';

export default class DeviceGroup extends DeviceChangeCommand {
  static override summary = 'Put devices into groups, or take them out.';
  static override description =
    'A device may be in several; selectors know them as group=NAME. hall-2 puts it in, and hall-2- with a minus behind takes it out. With --selector all words are groups, without it the first one is the name of the device.';
  static override usage = ['group NAME GROUP… GROUP-…'];
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1 hall-2 canaries',
    "<%= config.bin %> <%= command.id %> --selector 'site=lab' canaries- --dry-run",
  ];
  static override strict = false;
  static override flags = fleetFlags;
  static override result = devicesChangedSchema;

  async run() {
    const { words, flags, given } = await this.input(DeviceGroup);
    const { name, change } = groupingOf(words, flags.selector);
    return this.change({ name, flags, given }, change, () => 'aiot device list --selector group=NAME');
  }
}
