import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { imageAsked, imageFlags } from '../../../lib/cli/flags/boards.js';
import { provisionedBatchText } from '../../../lib/cli/render/batches.js';
import { next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { systemClock } from '../../../lib/core/time.js';
import { chipNames } from '../../../lib/formats/esp-image/chips.js';
import { provisionBatch, provisionedBatchSchema } from '../../../lib/provision/batch-image.js';

export default class DeviceBatchProvision extends AiotCommand {
  static override summary = 'Create the flash images for the boards of a batch.';
  static override description =
    'The images contain the key of the batch and, optionally, a Wi-Fi network. They are the same for all boards. Write them with aiot flash --device. At its first start, each board creates its own key, and asks for its certificate. Its serial number is its MAC address without colons. Once the board has its certificate, it deletes the key of the batch. The platform is not contacted.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> july.json --out ./july --wifi-ssid plant --wifi-password-file wifi.txt',
    '<%= config.bin %> <%= command.id %> presses.json --chip esp32s3 --out ./presses --json',
  ];
  static override args = {
    file: Args.string({ required: true, description: 'Batch file from aiot device batch create.' }),
  };
  static override flags = {
    chip: Flags.option({ options: chipNames })({
      summary: "Chip of the boards [default: the batch's type].",
      env: 'AIOT_CHIP',
    }),
    out: Flags.string({
      char: 'o',
      required: true,
      summary: 'Folder for the images; created if missing.',
      env: 'AIOT_OUT',
      helpValue: 'DIR',
    }),
    ...imageFlags,
  };
  static override result = provisionedBatchSchema;

  async run() {
    const { args, flags } = await this.input(DeviceBatchProvision);
    const { chip, out } = flags;
    const image = imageAsked(flags);
    const made = await provisionBatch({ batch: args.file, chip, image, out, now: systemClock.now() });
    this.print(provisionedBatchText(made));
    const folder = shellWord(out);
    this.suggest(
      next(`aiot flash --project ./firmware --device ${folder} --port PORT`, 'aiot device waiting list'),
    );
    return made;
  }
}
