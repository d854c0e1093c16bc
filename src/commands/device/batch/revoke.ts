import { Args } from '@oclif/core';
import { batchSchema } from '../../../lib/api/contract/batches.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';

export default class DeviceBatchRevoke extends PlatformCommand {
  static override summary = "Permanently revoke a batch's key.";
  static override description =
    'Use this if the key may have leaked, or once all devices have their certificates. Devices without a certificate are refused, even if they were approved. Devices with a certificate keep it. This cannot be undone.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> july --yes',
    '<%= config.bin %> <%= command.id %> july --yes --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Batch name.' }) };
  static override flags = { yes: shared.yes, context: shared.context };
  static override result = batchSchema;

  async run() {
    const input = await this.input(DeviceBatchRevoke);
    const { name } = input.args;
    return this.ask(
      input,
      async ({ batches }) => {
        const { waiting, approved } = (await batches.get(name)).devices;
        const question = `Permanently revoke the key of ${name}? Devices without a certificate: ${waiting + approved}.`;
        await this.agreeToLose(question, input.flags.yes);
        return batches.revoke(name);
      },
      (batch) => `Revoked ${batch.name}: its key is rejected from now on.`,
      () => ['aiot device batch list'],
    );
  }
}
