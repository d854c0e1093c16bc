import { devicesChangedSchema } from '../../lib/api/change-devices.js';
import { DeviceChangeCommand } from '../../lib/cli/device-change.js';
import { fleetFlags, groupingOf } from '../../lib/cli/flags/fleet.js';

export default class DeviceGroup extends DeviceChangeCommand {
  static override summary = 'Add devices to groups, or remove them.';
  static override description =
    'A device can be in several groups. Selectors match groups with group=NAME. hall-2 adds the device to a group, and hall-2- (with a trailing minus) removes it. With --selector, all arguments are groups; otherwise the first one is the device name.';
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
