import { devicesChangedSchema } from '../../lib/api/change-devices.js';
import { DeviceChangeCommand } from '../../lib/cli/device-change.js';
import { fleetFlags, oneDevice } from '../../lib/cli/flags/fleet.js';

export default class DeviceResume extends DeviceChangeCommand {
  static override summary = 'Resume suspended devices.';
  static override description = 'The devices reconnect automatically with their existing certificates.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    '<%= config.bin %> <%= command.id %> --selector state=suspended --json',
  ];
  static override args = oneDevice;
  static override flags = fleetFlags;
  static override result = devicesChangedSchema;

  async run() {
    const { args, flags, given } = await this.input(DeviceResume);
    return this.change({ name: args.name, flags, given }, { action: 'resume' }, () => 'aiot device list');
  }
}
