import { devicesChangedSchema } from '../../lib/api/change-devices.js';
import { DeviceChangeCommand } from '../../lib/cli/device-change.js';
import { fleetFlags, oneDevice } from '../../lib/cli/flags/fleet.js';
import { shared } from '../../lib/cli/flags/shared.js';

export default class DeviceRevoke extends DeviceChangeCommand {
  static override summary = "Permanently revoke devices' access and free their names.";
  static override description =
    'Their certificates are rejected immediately, and open connections are closed. Also use this to free a device whose provisioning was interrupted. This cannot be undone. To restore access, provision the device again.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    '<%= config.bin %> <%= command.id %> motor-1 --json',
    "<%= config.bin %> <%= command.id %> --selector 'group=hall-2' --dry-run",
  ];
  static override args = oneDevice;
  static override flags = { ...fleetFlags, yes: shared.yes };
  static override result = devicesChangedSchema;

  async run() {
    const { args, flags, given } = await this.input(DeviceRevoke);
    const loses = (who: string) => `Permanently revoke ${who}, including the certificate`;
    return this.change(
      { name: args.name, flags, given, loses },
      { action: 'revoke' },
      ({ selector, devices }) =>
        selector === null && devices[0]
          ? `aiot device provision ${devices[0].name} --type ${devices[0].type} --out DIR`
          : 'aiot device remove --selector state=revoked --dry-run',
    );
  }
}
