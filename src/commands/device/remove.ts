import { DeviceChangeCommand } from '../../lib/cli/device-change.js';
import { fleetFlags, oneDevice } from '../../lib/cli/flags/fleet.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { devicesChangedSchema } from '../../lib/registry/change-devices.js';

export default class DeviceRemove extends DeviceChangeCommand {
  static override summary = 'Forget devices that are revoked, or that never had a certificate.';
  static override description =
    'Their names are free, and their tags and groups are gone; what they sent and their history stay. One that may still connect is refused: revoke it first.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> motor-1',
    "<%= config.bin %> <%= command.id %> --selector 'state=revoked and created>365d' --dry-run",
  ];
  static override args = oneDevice;
  static override flags = { ...fleetFlags, yes: shared.yes };
  static override result = devicesChangedSchema;

  async run() {
    const { args, flags, given } = await this.input(DeviceRemove);
    const loses = (who: string) => `Forget ${who}, with tags and groups`;
    return this.change(
      { name: args.name, flags, given, loses },
      { action: 'remove' },
      () => 'aiot device list',
    );
  }
}
