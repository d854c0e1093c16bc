import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { otadataText } from '../../../lib/cli/render/firmware.js';
import { bold, next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { createOtadata, otadataSchema } from '../../../lib/flash/images/partitions.js';
import { otaStateNames } from '../../../lib/formats/otadata.js';

export default class FirmwareOtadataCreate extends AiotCommand {
  static override summary = 'Create an otadata partition that boots an app slot.';
  static override description =
    "With --from, starts from a board's otadata: writes the inactive sector and keeps the other one.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> otadata.bin --slot 0',
    '<%= config.bin %> <%= command.id %> otadata.bin --slot 1 --from board.bin --state new --json',
  ];
  static override args = { out: Args.string({ required: true, description: 'Partition file to write.' }) };
  static override flags = {
    slot: Flags.integer({
      summary: 'App slot to boot: 0 for ota_0.',
      required: true,
      env: 'AIOT_SLOT',
      helpValue: 'N',
      min: 0,
      max: 15,
    }),
    slots: Flags.integer({
      summary: 'Number of app slots in the partition table.',
      default: 2,
      env: 'AIOT_SLOTS',
      helpValue: 'N',
      min: 1,
      max: 16,
    }),
    state: Flags.option({ options: otaStateNames })({
      summary:
        'State of the app in the slot; new = the app must confirm itself, if the bootloader supports rollback.',
      default: 'undefined',
      env: 'AIOT_STATE',
    }),
    from: Flags.string({
      summary: "The board's current otadata.",
      env: 'AIOT_FROM',
      helpValue: 'FILE',
    }),
  };
  static override result = otadataSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareOtadataCreate);
    const { slot, slots, state, from } = flags;
    const result = await createOtadata({ out: args.out, slot, slots, state, from });
    this.print(`${bold(result.file)}\n${otadataText(result)}`);
    this.suggest(next(`aiot flash ${shellWord(`${result.file}@otadata`)}`));
    return result;
  }
}
