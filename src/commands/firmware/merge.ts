import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { firmwareFlags, flashOffset } from '../../lib/cli/flags/boards.js';
import { mergedText } from '../../lib/cli/render/firmware.js';
import { next } from '../../lib/cli/render/text.js';
import { hex } from '../../lib/core/figures.js';
import { shellWord } from '../../lib/core/text.js';
import { mergedSchema, mergeFiles, mergeFormats } from '../../lib/flash/images/merge.js';
import { flashSizes } from '../../lib/formats/esp-image/chips.js';
import { uf2Families } from '../../lib/formats/uf2.js';

export default class FirmwareMerge extends AiotCommand {
  static override summary = 'Merge images into one file, or convert between formats.';
  static override description =
    'Reads and writes raw, Intel HEX and UF2 files. Pass any number of FILE@OFFSET; HEX and UF2 files contain their offsets. Gaps in a raw file are filled with 0xFF, as in erased flash. --flash-mode, --flash-size and --flash-freq change the header of the bootloader, which must be one of the images. The result is byte-for-byte identical to that of esptool merge-bin. With --family, creates a UF2 file for the bootloader of another board, such as rp2040 or nrf52840; the offsets are then addresses.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> bootloader.bin@0x1000 partitions.bin@0x8000 app.bin@0x10000 --out whole.bin',
    '<%= config.bin %> <%= command.id %> bootloader.bin@bootloader app.bin@0x10000 --out update.uf2',
    '<%= config.bin %> <%= command.id %> zephyr.bin@0x10000000 --family rp2040 --out app.uf2',
  ];
  static override strict = false;
  static override args = {
    images: Args.string({
      description:
        'Any number of FILE@OFFSET, such as app.bin@0x10000 or boot.bin@bootloader. HEX and UF2 files need no offset.',
    }),
  };
  static override flags = {
    out: Flags.string({
      char: 'o',
      summary: 'File to write; .hex and .uf2 set the format.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
      required: true,
    }),
    format: Flags.option({ options: mergeFormats })({
      summary: 'Output format [default: from the file name, else raw].',
      env: 'AIOT_FORMAT',
    }),
    start: flashOffset({
      summary: "Flash offset of a raw file's first byte [default: 0].",
      env: 'AIOT_START',
    }),
    'pad-to': Flags.option({ options: flashSizes })({
      summary: 'Pad a raw file to the end of a flash of this size.',
      env: 'AIOT_PAD_TO',
      helpValue: 'SIZE',
    }),
    family: Flags.option({ options: uf2Families.map(({ name }) => name) })({
      summary: "Family of a UF2 file for a board that is not Espressif's.",
      env: 'AIOT_FAMILY',
      helpValue: 'FAMILY',
    }),
    payload: Flags.integer({
      summary: 'Bytes of flash per UF2 block [default: as many as fit].',
      env: 'AIOT_PAYLOAD',
      min: 1,
      max: 476,
      helpValue: 'BYTES',
    }),
    md5: Flags.boolean({
      summary: 'Add an MD5 to each UF2 block.',
      env: 'AIOT_MD5',
      allowNo: true,
      default: true,
    }),
    ...firmwareFlags,
  };
  static override result = mergedSchema;

  async run() {
    const { flags, words } = await this.input(FirmwareMerge);
    const result = await mergeFiles({
      words,
      out: flags.out,
      format: flags.format,
      chip: flags.chip,
      family: flags.family,
      start: flags.start,
      padTo: flags['pad-to'],
      payloadBytes: flags.payload,
      md5: flags.md5,
      header: { mode: flags['flash-mode'], size: flags['flash-size'], frequency: flags['flash-freq'] },
    });
    this.print(mergedText(result));
    const place = result.offset === null ? '' : `@${hex(result.offset)}`;
    const drive = result.chip === null && result.family !== null ? ' --port DRIVE' : '';
    this.suggest(next(`aiot flash ${shellWord(`${result.file}${place}`)}${drive}`));
    return result;
  }
}
