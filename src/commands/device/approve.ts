import { decideEnrollments, decisionExit, decisionSchema } from '../../lib/api/decide-enrollments.js';
import { decisionArgs, decisionFlags, waitingTarget } from '../../lib/cli/flags/batches.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { decisionText } from '../../lib/cli/render/batches.js';

export default class DeviceApprove extends PlatformCommand {
  static override summary = 'Approve devices that wait for their certificate.';
  static override description =
    'An approved device fetches its own certificate with its next request, and joins the tags and groups of its batch. A rejected device can be approved later.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> july-A7-0001',
    '<%= config.bin %> <%= command.id %> --batch july --dry-run',
    "<%= config.bin %> <%= command.id %> --selector 'name~july-A7-*' --json",
  ];
  static override args = decisionArgs;
  static override flags = decisionFlags;
  static override result = decisionSchema;

  async run() {
    const input = await this.input(DeviceApprove);
    const { note } = input.flags;
    const dryRun = input.flags['dry-run'] === true;
    const target = waitingTarget(input.args.name, input.flags);
    const result = await this.ask(
      input,
      (client) => decideEnrollments({ client, action: 'approve', target, note, dryRun }),
      decisionText,
      ({ devices: [first] }) => [first ? `aiot device show ${first.name}` : 'aiot device list'],
    );
    const exit = decisionExit(result);
    if (exit !== undefined) this.exitsWith(exit);
    return result;
  }
}
