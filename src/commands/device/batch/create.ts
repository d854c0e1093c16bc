import { Args } from '@oclif/core';
import { contextFor, withClient } from '../../../lib/api/context.js';
import { AiotCommand } from '../../../lib/cli/command.js';
import { batchFlags, tagsOf } from '../../../lib/cli/flags/batches.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { again } from '../../../lib/cli/invocation.js';
import { createdBatchText } from '../../../lib/cli/render/batches.js';
import { next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { createBatch, createdBatchSchema } from '../../../lib/provision/batch.js';
import { chipOfType, deviceType } from '../../../lib/provision/chip-options.js';

export default class DeviceBatchCreate extends AiotCommand {
  static override summary = 'Create a batch of devices that enroll themselves.';
  static override description =
    'All devices of a batch share a key, which you write to their factory image. With this key, a device can only ask for its own certificate: it waits until a rule of the batch (--approve, --serials) or a user (aiot device approve) approves it. It then joins the tags and groups of the batch, and is named BATCH-SERIAL.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> july --type esp32 --size 500 --out july.json',
    "<%= config.bin %> <%= command.id %> july --approve 'A7-*' --group presses --tag site=lab --out july.json",
    '<%= config.bin %> <%= command.id %> gateways --type pi --serials serials.csv --expires 30d --json',
  ];
  static override args = {
    name: Args.string({ required: true, description: 'Batch name, at most 31 characters.' }),
  };
  static override flags = { ...batchFlags, context: shared.context };
  static override result = createdBatchSchema;

  async run() {
    const input = await this.input(DeviceBatchCreate);
    const { args, flags } = input;
    const { size, expires: validMs, group: groups = [], approve: pattern, serials, out } = flags;
    const context = await contextFor(flags.context);
    const [type, tags] = [deviceType(flags.type), tagsOf(flags.tag ?? [])];
    const batch = await withClient(context.name, (client) =>
      createBatch({
        ...{ client, name: args.name, type, size, validMs, tags, groups, pattern, out },
        ...{ serialsFile: serials, caFile: context.ca },
      }),
    );
    this.print(createdBatchText(batch));
    const at = again(input, 'context');
    const file = shellWord(batch.file ?? 'batch.json');
    const first =
      chipOfType(type) === null ? `simulate DIR --batch ${file}` : `batch provision ${file} --out DIR`;
    this.suggest(next(`aiot device ${first}`, `aiot device waiting list${at}`));
    return batch;
  }
}
