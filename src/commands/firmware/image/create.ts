import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../../lib/cli/command.js';
import { firmwareFlags, revision } from '../../../lib/cli/flags/boards.js';
import { imageText } from '../../../lib/cli/render/firmware.js';
import { bold } from '../../../lib/cli/render/style.js';
import { next } from '../../../lib/cli/render/text.js';
import { shellWord } from '../../../lib/core/text.js';
import { createImage, imageInfoSchema } from '../../../lib/flash/images/image-info.js';
import { chipNames, flashSizeBytes, flashSizes } from '../../../lib/formats/esp-image/chips.js';

const pages = { '8KB': 0x2000, '16KB': 0x4000, '32KB': 0x8000, '64KB': 0x10000 } as const;
type Page = keyof typeof pages;

export default class FirmwareImageCreate extends AiotCommand {
  static override summary = 'Make the image that a chip boots from an ELF file.';
  static override description =
    'Byte for byte what esptool elf2image makes: sections become segments, those that are mapped from flash lie where a page of it wants them, checksum and SHA-256 follow. Flash mode, size and clock are in the bootloader’s header; of an app they are not looked at.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> build/app.elf --chip esp32c3 --out app.bin',
    '<%= config.bin %> <%= command.id %> bootloader.elf --chip esp32 --flash-mode dio --flash-size 4MB --flash-freq 40m --json',
  ];
  static override args = {
    elf: Args.string({ required: true, description: 'An ELF file for an ESP32 of any kind.' }),
  };
  static override flags = {
    ...firmwareFlags,
    chip: Flags.option({ options: chipNames })({
      summary: 'The chip it was built for.',
      env: 'AIOT_CHIP',
      required: true,
    }),
    'min-rev': revision({
      summary: 'Oldest revision of the chip that may run it (any).',
      env: 'AIOT_MIN_REV',
    }),
    'max-rev': revision({
      summary: 'Newest revision of the chip that may run it (any).',
      env: 'AIOT_MAX_REV',
    }),
    'page-size': Flags.option({ options: Object.keys(pages) as Page[] })({
      summary: 'Page of the flash cache, on chips that have a choice (what the application says).',
      env: 'AIOT_PAGE_SIZE',
    }),
    hash: Flags.boolean({ summary: 'Append a SHA-256.', env: 'AIOT_HASH', allowNo: true, default: true }),
    'use-segments': Flags.boolean({
      summary: 'Take the ELF’s program segments instead of its sections.',
      env: 'AIOT_USE_SEGMENTS',
    }),
    'pad-to': Flags.option({ options: flashSizes })({
      summary: 'Fill with 0xFF to a multiple of this size.',
      env: 'AIOT_PAD_TO',
    }),
    'secure-pad': Flags.option({ options: ['1', '2'] as const })({
      summary: 'Pad for a signature of secure boot version 1 or 2.',
      env: 'AIOT_SECURE_PAD',
    }),
    'ram-first': Flags.boolean({
      summary: 'RAM segments first and alone in the header’s count, for a program that maps the rest itself.',
      env: 'AIOT_RAM_FIRST',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'The file to write (beside the ELF, with .bin).',
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
    this.print(
      next(`aiot flash ${shellWord(`${result.file}@${result.kind === 'app' ? '0x10000' : 'bootloader'}`)}`),
    );
    return result;
  }
}
