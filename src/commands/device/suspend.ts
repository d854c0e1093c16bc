import { DeviceChangeCommand } from '../../lib/cli/device-change.js';
import { fleetFlags, oneDevice } from '../../lib/cli/flags/fleet.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { devicesChangedSchema } from '../../lib/registry/change-devices.js';

export default class DeviceSuspend extends DeviceChangeCommand {
  static override summary = 'Keep devices off the platform until they are resumed.';
  static override description =
    'Connections that are open end at once, and their certificates are refused; rollouts go on without them. Nothing is forgotten: aiot device resume lets them in again.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    "<%= config.bin %> <%= command.id %> --selector 'site=lab and lastSeen>30d' --dry-run",
  ];
  static override args = oneDevice;
  static override flags = { ...fleetFlags, yes: shared.yes };
  static override result = devicesChangedSchema;

  async run() {
    const { args, flags, given } = await this.input(DeviceSuspend);
    return this.change({ name: args.name, flags, given }, { action: 'suspend' }, () => 'aiot device list');
  }
}
