import { devicesChangedSchema } from '../../lib/api/change-devices.js';
import { DeviceChangeCommand } from '../../lib/cli/device-change.js';
import { fleetFlags, oneDevice } from '../../lib/cli/flags/fleet.js';
import { shared } from '../../lib/cli/flags/shared.js';

export default class DeviceRemove extends DeviceChangeCommand {
  static override summary = 'Remove devices that are revoked or have no certificate.';
  static override description =
    "Deletes the devices' records, tags and group memberships, and frees their names; telemetry and history are kept. Fails for a device that may still connect: revoke it first.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    "<%= config.bin %> <%= command.id %> --selector 'state=revoked and created>365d' --dry-run",
  ];
  static override args = oneDevice;
  static override flags = { ...fleetFlags, yes: shared.yes };
  static override result = devicesChangedSchema;

  async run() {
    const { args, flags, given } = await this.input(DeviceRemove);
    const loses = (who: string) => `Remove ${who}, with tags and groups`;
    return this.change(
      { name: args.name, flags, given, loses },
      { action: 'remove' },
      () => 'aiot device list',
    );
  }
}
