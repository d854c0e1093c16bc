import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { firmwareTestText } from '../../lib/cli/render/firmware.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { firmwareTestSchema, testFirmware } from '../../lib/project/firmware/test-run.js';

export default class FirmwareTest extends AiotCommand {
  static override summary = "Build a project's firmware with sanitizers and test it.";
  static override description =
    "Uses CMake and CTest on this machine, with the address and undefined-behavior sanitizers. Tests also run on the ESP32-C3 instruction set if riscv64-unknown-elf-gcc, picolibc and qemu-system-riscv32 are installed. The ESP32 sources are compiled with this machine's compiler, but not run. Exits with 6 if a test fails.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    "<%= config.bin %> <%= command.id %> board --filter 'signal|predictor' --json",
  ];
  static override args = {
    dir: Args.string({ default: 'firmware', description: 'Folder created by aiot firmware init.' }),
  };
  static override flags = {
    filter: Flags.string({
      summary: 'Build and run only tests whose names match this regular expression.',
      env: 'AIOT_FILTER',
      helpValue: 'REGEX',
    }),
  };
  static override result = firmwareTestSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareTest);
    const stage = this.stages({ list: true });
    const result = await testFirmware({
      ...{ dir: args.dir, filter: flags.filter, signal: this.signal },
      onStage: (text) => stage({ text }),
    });
    this.print(firmwareTestText(result));
    const dir = args.dir === 'firmware' ? '' : ` ${shellWord(args.dir)}`;
    if (result.failed === 0) this.suggest(next(`aiot firmware build${dir}`));
    else this.exitsWith(6);
    return result;
  }
}
