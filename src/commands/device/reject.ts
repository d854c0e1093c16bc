import { decideEnrollments, decisionExit, decisionSchema } from '../../lib/api/decide-enrollments.js';
import { decisionArgs, decisionFlags, waitingTarget } from '../../lib/cli/flags/batches.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { decisionText } from '../../lib/cli/render/batches.js';

export default class DeviceReject extends PlatformCommand {
  static override summary = 'Reject devices that wait for their certificate.';
  static override description =
    'A rejected device is refused, and makes room in its batch. To undo this, approve the device. To end the access of an approved device, use aiot device revoke.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> july-A7-0001',
    '<%= config.bin %> <%= command.id %> --batch july --note "unknown serial numbers"',
    '<%= config.bin %> <%= command.id %> july-A7-0001 --json',
  ];
  static override args = decisionArgs;
  static override flags = decisionFlags;
  static override result = decisionSchema;

  async run() {
    const input = await this.input(DeviceReject);
    const { note } = input.flags;
    const dryRun = input.flags['dry-run'] === true;
    const target = waitingTarget(input.args.name, input.flags);
    const result = await this.ask(
      input,
      (client) => decideEnrollments({ client, action: 'reject', target, note, dryRun }),
      decisionText,
      () => ['aiot device waiting list'],
    );
    const exit = decisionExit(result);
    if (exit !== undefined) this.exitsWith(exit);
    return result;
  }
}
