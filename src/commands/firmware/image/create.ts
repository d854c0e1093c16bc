import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { firmwareFlags, revision } from '../../../lib/cli/flags/boards.js';
import { imageText } from '../../../lib/cli/render/firmware.js';
import { bold, next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { createImage, imageInfoSchema } from '../../../lib/flash/images/image-info.js';
import { chipNames, flashSizeBytes, flashSizes } from '../../../lib/formats/esp-image/chips.js';

const pages = { '8KB': 0x2000, '16KB': 0x4000, '32KB': 0x8000, '64KB': 0x10000 } as const;
type Page = keyof typeof pages;

export default class FirmwareImageCreate extends AiotCommand {
  static override summary = 'Create a bootable chip image from an ELF file.';
  static override description =
    "The result is byte-for-byte identical to that of esptool elf2image: sections become segments, segments mapped from flash are page-aligned, and a checksum and SHA-256 follow. Flash mode, size and frequency are set in the header, by default to qio, 1MB and the chip's default frequency. They take effect only in a bootloader.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> build/app.elf --chip esp32c3 --out app.bin',
    '<%= config.bin %> <%= command.id %> bootloader.elf --chip esp32 --flash-mode dio --flash-size 4MB --flash-freq 40m --json',
  ];
  static override args = {
    elf: Args.string({ required: true, description: 'ELF file for any ESP32.' }),
  };
  static override flags = {
    ...firmwareFlags,
    chip: Flags.option({ options: chipNames })({
      summary: 'Chip that the ELF file was built for.',
      env: 'AIOT_CHIP',
      required: true,
    }),
    'min-rev': revision({
      summary: 'Oldest chip revision that may run the image [default: any].',
      env: 'AIOT_MIN_REV',
    }),
    'max-rev': revision({
      summary: 'Newest chip revision that may run the image [default: any].',
      env: 'AIOT_MAX_REV',
    }),
    'page-size': Flags.option({ options: Object.keys(pages) as Page[] })({
      summary: "Flash cache page size, on chips with a choice [default: the application's].",
      env: 'AIOT_PAGE_SIZE',
    }),
    hash: Flags.boolean({ summary: 'Append a SHA-256.', env: 'AIOT_HASH', allowNo: true, default: true }),
    'use-segments': Flags.boolean({
      summary: "Use the ELF's program segments instead of its sections.",
      env: 'AIOT_USE_SEGMENTS',
    }),
    'pad-to': Flags.option({ options: flashSizes })({
      summary: 'Fill with 0xFF to a multiple of this size.',
      env: 'AIOT_PAD_TO',
      helpValue: 'SIZE',
    }),
    'secure-pad': Flags.option({ options: ['1', '2'] as const })({
      summary: 'Secure Boot version whose signature the image is padded for.',
      env: 'AIOT_SECURE_PAD',
      helpValue: 'VERSION',
    }),
    'ram-first': Flags.boolean({
      summary:
        'Put RAM segments first and count only them in the header, for a program that maps the others itself.',
      env: 'AIOT_RAM_FIRST',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'File to write [default: the name of the ELF file with .bin].',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
  };
  static override result = imageInfoSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareImageCreate);
    const result = await createImage({
      elf: args.elf,
      out: flags.out,
      chip: flags.chip,
      mode: flags['flash-mode'],
      size: flags['flash-size'],
      frequency: flags['flash-freq'],
      minRevision: flags['min-rev'],
      maxRevision: flags['max-rev'],
      pageBytes: flags['page-size'] && pages[flags['page-size']],
      hash: flags.hash,
      useSegments: flags['use-segments'],
      padTo: flags['pad-to'] && flashSizeBytes(flags['pad-to']),
      securePad: flags['secure-pad'] && (flags['secure-pad'] === '1' ? 1 : 2),
      ramOnlyHeader: flags['ram-first'],
    });
    this.print(`${bold(result.file)}\n${imageText(result)}`);
    this.suggest(
      next(`aiot flash ${shellWord(`${result.file}@${result.kind === 'app' ? '0x10000' : 'bootloader'}`)}`),
    );
    return result;
  }
}
