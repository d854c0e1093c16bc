import { Args } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { remoteTime } from '../../lib/cli/flags/fleet.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { shellText } from '../../lib/cli/render/fleet.js';
import { remoteShell, remoteShellSchema } from '../../lib/device/remote/operate.js';

export default class DeviceShell extends AiotCommand {
  static override summary = 'Open a shell on a Linux device.';
  static override description =
    'Works through the platform if the device runs aiot device agent with --allow shell. On a terminal, you get a terminal on the device. Otherwise, the shell runs the commands from stdin. The platform records the session in the audit log, and ends it after --for. The exit code is 1 if the shell’s is not 0.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> pi-1',
    "echo 'df -h /' | <%= config.bin %> <%= command.id %> pi-1",
    "echo 'uname -r' | <%= config.bin %> <%= command.id %> pi-1 --for 30s --json",
  ];
  static override args = { name: Args.string({ required: true, description: 'Device name.' }) };
  static override flags = { for: remoteTime, context: shared.context };
  static override result = remoteShellSchema;

  async run() {
    const { args, flags } = await this.input(DeviceShell);
    const { stdin, stdout, stderr } = process;
    const result = await withClient(flags.context, (client) =>
      remoteShell({
        ...{ client, device: args.name, forMs: flags.for, signal: this.signal },
        ...{ stdin, stdout, stderr, collect: this.jsonEnabled() },
        onRecorded: () => this.note('The platform records this session.'),
      }),
    );
    if (process.stderr.isTTY) this.note(shellText(result));
    if (result.exit !== 0) this.exitsWith(1);
    return result;
  }
}
