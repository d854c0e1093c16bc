import { Flags } from '@oclif/core';
import * as z from 'zod';
import { remoteSessionSchema } from '../../../lib/api/contract/devices.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { remoteSessionsText } from '../../../lib/cli/render/fleet.js';

export default class DeviceSessionsList extends PlatformCommand {
  static override summary = 'List open remote sessions.';
  static override description =
    'Shows open shells, forwarded ports and copies, with their users. For earlier and refused sessions, run aiot audit list --type device.remote*.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --device pi-1 --json',
  ];
  static override flags = {
    device: Flags.string({
      summary: 'Only sessions on this device.',
      env: 'AIOT_DEVICE',
      helpValue: 'NAME',
    }),
    context: shared.context,
  };
  static override result = z.array(remoteSessionSchema);

  async run() {
    const input = await this.input(DeviceSessionsList);
    const { device } = input.flags;
    const { sessions, missing } = await this.ask(
      input,
      ({ remoteSessions }) => remoteSessions.page({ device }),
      (answer) => remoteSessionsText(answer.sessions),
      ({ sessions: [first] }) => (first ? [`aiot device sessions close ${first.id}`] : []),
    );
    if (missing.length > 0)
      this.caution(
        `the sessions of these replicas are missing, because they do not respond: ${missing.join(', ')}`,
      );
    return sessions;
  }
}
