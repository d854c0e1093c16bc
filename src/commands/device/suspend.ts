import { devicesChangedSchema } from '../../lib/api/change-devices.js';
import { DeviceChangeCommand } from '../../lib/cli/device-change.js';
import { fleetFlags, oneDevice } from '../../lib/cli/flags/fleet.js';
import { shared } from '../../lib/cli/flags/shared.js';

export default class DeviceSuspend extends DeviceChangeCommand {
  static override summary = 'Suspend devices until they are resumed.';
  static override description =
    'Open connections are closed, certificates are rejected, and rollouts skip the devices. Nothing is deleted: aiot device resume restores access.';
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
