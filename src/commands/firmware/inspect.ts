import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { inspectedNext, inspectedText } from '../../lib/cli/render/firmware.js';
import { bold } from '../../lib/cli/render/style.js';
import { next } from '../../lib/cli/render/text.js';
import { inspectedSchema, inspectFirmware } from '../../lib/flash/images/inspect.js';

export default class FirmwareInspect extends AiotCommand {
  static override summary =
    'Say what a firmware file is, check it, and show what it takes of flash and memory.';
  static override description =
    'By its contents, not its name: an ELF file of a computer or a chip, an image for an ESP32 (.bin, HEX, UF2), a merged or read-out flash, a partition table, a model bundle. Checksums and hashes are computed: what is damaged is refused with the offset and the reason. An image inside of another file is shown by aiot firmware image info --offset; a release of the registry by aiot firmware show.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> firmware/build/host/aiot-device',
    '<%= config.bin %> <%= command.id %> app.bin',
    '<%= config.bin %> <%= command.id %> flash.bin --json',
  ];
  static override args = { file: Args.string({ required: true, description: 'The file.' }) };
  static override result = inspectedSchema;

  async run() {
    const { args } = await this.input(FirmwareInspect);
    const result = await inspectFirmware(args.file);
    this.print(`${bold(result.file)}\n${inspectedText(result)}`);
    this.print(next(...inspectedNext(result)));
    return result;
  }
}
