import { DeviceChangeCommand } from '../../lib/cli/device-change.js';
import { fleetFlags, oneDevice } from '../../lib/cli/flags/fleet.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { devicesChangedSchema } from '../../lib/registry/change-devices.js';

export default class DeviceRevoke extends DeviceChangeCommand {
  static override summary = 'Take the access of devices back for good; their names are free again.';
  static override description =
    'Their certificates are refused from now on, also where they are connected. A device whose provisioning was cut short is freed this way. It cannot be undone: provision it anew.';
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
    const loses = (who: string) => `Revoke ${who} for good, with the certificate`;
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
