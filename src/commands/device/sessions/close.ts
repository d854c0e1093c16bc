import { Args } from '@oclif/core';
import { remoteSessionSchema } from '../../../lib/api/contract/devices.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { closedSessionText } from '../../../lib/cli/render/fleet.js';

export default class DeviceSessionsClose extends PlatformCommand {
  static override summary = 'Close a remote session.';
  static override description =
    'Ends the shell, the forwarded port or the copy at once, for any user. The audit log records who closed it. To prevent new sessions, revoke the token, or stop the agent on the device.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> 3f0c6c62-6d4e-4a11-9c55-0d9c6ad2f0b1',
    '<%= config.bin %> <%= command.id %> 3f0c6c62-6d4e-4a11-9c55-0d9c6ad2f0b1 --json',
  ];
  static override args = {
    id: Args.string({ required: true, description: 'ID of the session, from aiot device sessions list.' }),
  };
  static override flags = { context: shared.context };
  static override result = remoteSessionSchema;

  async run() {
    const input = await this.input(DeviceSessionsClose);
    return this.ask(
      input,
      ({ remoteSessions }) => remoteSessions.close(input.args.id),
      closedSessionText,
      () => ['aiot device sessions list'],
    );
  }
}
