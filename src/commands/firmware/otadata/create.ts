import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { otadataText } from '../../../lib/cli/render/firmware.js';
import { bold } from '../../../lib/cli/render/style.js';
import { next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { createOtadata, otadataSchema } from '../../../lib/flash/images/partitions.js';
import { otaStateNames } from '../../../lib/formats/otadata.js';

export default class FirmwareOtadataCreate extends AiotCommand {
  static override summary = 'Make the otadata partition that starts an app slot.';
  static override description =
    'With --from, the otadata of a board: the sector that does not count is written, the other one is kept.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> otadata.bin --slot 0',
    '<%= config.bin %> <%= command.id %> otadata.bin --slot 1 --from board.bin --state new --json',
  ];
  static override args = { out: Args.string({ required: true, description: 'The partition to write.' }) };
  static override flags = {
    slot: Flags.integer({
      summary: 'The app slot to start: 0 for ota_0.',
      required: true,
      env: 'AIOT_SLOT',
      min: 0,
      max: 15,
    }),
    slots: Flags.integer({
      summary: 'Number of app slots that the partition table has.',
      default: 2,
      env: 'AIOT_SLOTS',
      min: 1,
      max: 16,
    }),
    state: Flags.option({ options: otaStateNames })({
      summary: 'State of the slot’s app; new = it has to confirm itself, where the bootloader can roll back.',
      default: 'undefined',
      env: 'AIOT_STATE',
    }),
    from: Flags.string({
      summary: 'The otadata that a board has.',
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
    this.print(next(`aiot flash ${shellWord(`${result.file}@otadata`)}`));
    return result;
  }
}
