import { Args } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { inspectedNext, inspectedText } from '../../lib/cli/render/firmware.js';
import { bold, next } from '../../lib/cli/render/text.js';
import { inspectedSchema, inspectFirmware } from '../../lib/flash/images/inspect.js';

export default class FirmwareInspect extends AiotCommand {
  static override summary = 'Identify a firmware file, check it and show its memory use.';
  static override description =
    'Detects the type from the contents. Reads ELF files for a computer or a chip, ESP32 images (.bin, HEX, UF2), UF2 files for other boards, MCUboot images, merged or dumped flash, partition tables and model bundles. Checksums and hashes are recomputed: a damaged file is rejected with the offset and the reason. For an image inside another file, use aiot firmware image info --offset; for a registry release, aiot firmware show.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> firmware/build/host/aiot-device',
    '<%= config.bin %> <%= command.id %> app.bin',
    '<%= config.bin %> <%= command.id %> flash.bin --json',
  ];
  static override args = { file: Args.string({ required: true, description: 'File to inspect.' }) };
  static override result = inspectedSchema;

  async run() {
    const { args } = await this.input(FirmwareInspect);
    const result = await inspectFirmware(args.file);
    this.print(`${bold(result.file)}\n${inspectedText(result)}`);
    this.suggest(next(...inspectedNext(result)));
    return result;
  }
}
