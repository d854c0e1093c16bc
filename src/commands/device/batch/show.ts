import { Args } from '@oclif/core';
import { batchSchema } from '../../../lib/api/contract/batches.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { batchText } from '../../../lib/cli/render/batches.js';

export default class DeviceBatchShow extends PlatformCommand {
  static override summary = 'Show a batch: its rule, and its devices by state.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> july',
    '<%= config.bin %> <%= command.id %> july --json',
  ];
  static override args = { name: Args.string({ required: true, description: 'Batch name.' }) };
  static override flags = { context: shared.context };
  static override result = batchSchema;

  async run() {
    const input = await this.input(DeviceBatchShow);
    return this.ask(
      input,
      ({ batches }) => batches.get(input.args.name),
      (batch) => batchText(batch),
      ({ name }) => [`aiot device waiting list --batch ${name}`, `aiot device approve --batch ${name}`],
    );
  }
}
