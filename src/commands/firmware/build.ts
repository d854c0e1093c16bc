import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { firmwareBuildNext, firmwareBuildText } from '../../lib/cli/render/firmware.js';
import { next } from '../../lib/cli/render/text.js';
import {
  buildFirmware,
  firmwareBuildSchema,
  firmwareTargets,
  vendorTools,
} from '../../lib/project/firmware/build.js';

export default class FirmwareBuild extends AiotCommand {
  static override summary = 'Build a project’s firmware, and show what was made.';
  static override description =
    'host: the program of a native device, by CMake. rv32: the core with its tests for the instruction set of an ESP32-C3. c3: an image for a bare ESP32-C3 that answers golden vectors on its serial line. esp32, esp32s3, esp32c3: by idf.py where ESP-IDF’s export.sh was sourced, else by PlatformIO. What follows from aiot.yaml is made anew first where that has changed. Nothing is installed: what is missing is named, with the line that installs it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --target esp32c3',
    '<%= config.bin %> <%= command.id %> board --target c3 --json',
  ];
  static override args = {
    dir: Args.string({ default: 'firmware', description: 'Folder that aiot firmware init made.' }),
  };
  static override flags = {
    target: Flags.option({ options: firmwareTargets })({
      summary: 'What it is to run on.',
      default: 'host' as const,
      env: 'AIOT_TARGET',
    }),
    tool: Flags.option({ options: vendorTools })({
      summary: 'Of an ESP32: what builds it [default: idf.py where it is, else pio].',
      env: 'AIOT_TOOL',
    }),
  };
  static override result = firmwareBuildSchema;

  async run() {
    const { args, flags } = await this.input(FirmwareBuild);
    const stage = this.stages();
    const made = await buildFirmware({
      ...{ dir: args.dir, target: flags.target, tool: flags.tool, signal: this.signal },
      onStage: (text) => stage({ text }),
    });
    this.print(firmwareBuildText(made));
    for (const note of made.notes) this.caution(note);
    this.print(next(...firmwareBuildNext(made)));
    return made;
  }
}
