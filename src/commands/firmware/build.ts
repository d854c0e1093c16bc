import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { firmwareProfile } from '../../lib/cli/flags/boards.js';
import {
  firmwareBuildNext,
  firmwareBuildText,
  firmwareContainerNext,
  firmwareContainerText,
} from '../../lib/cli/render/firmware.js';
import { next } from '../../lib/cli/render/text.js';
import {
  buildFirmware,
  containerBuild,
  firmwareBuildSchema,
  firmwareContainerSchema,
  firmwareTargets,
  vendorTools,
} from '../../lib/project/firmware/build.js';

export default class FirmwareBuild extends AiotCommand {
  static override summary = "Build a project's firmware and show its size.";
  static override description =
    "Targets:\n- host: the program for a native device, built with CMake.\n- rv32: the core and its tests for the ESP32-C3 instruction set.\n- c3: an image for a bare ESP32-C3 that runs test vectors and prints the results on its serial port.\n- esp32, esp32s3, esp32c3, esp32c6, esp32h2, esp32p4: the firmware for a board, built with idf.py if you sourced ESP-IDF's export.sh, and with PlatformIO otherwise.\n\nGenerated files are updated first if aiot.yaml has changed. Installs nothing; if a tool is missing, prints how to install it. With --docker, prints the command that builds in ESP-IDF's container image, and does not run it.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --target esp32c3',
    '<%= config.bin %> <%= command.id %> --target esp32s3 --docker',
  ];
  static override args = {
    dir: Args.string({ default: 'firmware', description: 'Folder created by aiot firmware init.' }),
  };
  static override flags = {
    target: Flags.option({ options: firmwareTargets })({
      summary: 'Build target.',
      default: 'host' as const,
      env: 'AIOT_TARGET',
    }),
    tool: Flags.option({ options: vendorTools })({
      summary: 'ESP32 build tool [default: idf.py if available, else pio].',
      env: 'AIOT_TOOL',
    }),
    profile: firmwareProfile,
    docker: Flags.boolean({
      summary: "Print the command that builds in ESP-IDF's container image.",
      env: 'AIOT_DOCKER',
      default: false,
    }),
  };
  static override result = z.union([firmwareBuildSchema, firmwareContainerSchema]);

  async run() {
    const { args, flags } = await this.input(FirmwareBuild);
    const { target, tool, profile: profiles } = flags;
    if (flags.docker) {
      const command = await containerBuild({ dir: args.dir, target, tool, profiles });
      this.print(firmwareContainerText(command));
      for (const note of command.notes) this.caution(note);
      this.suggest(next(...firmwareContainerNext(command)));
      return command;
    }
    const stage = this.stages({ list: true });
    const made = await buildFirmware({
      ...{ dir: args.dir, target, tool, profiles, signal: this.signal },
      onStage: (text) => stage({ text }),
    });
    this.print(firmwareBuildText(made));
    for (const note of made.notes) this.caution(note);
    this.suggest(next(...firmwareBuildNext(made)));
    return made;
  }
}
