import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { fitText } from '../../lib/cli/render/inspection.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { fitModel, quantizedFile, refusalOf } from '../../lib/model/fit/fit-model.js';
import { fitSchema } from '../../lib/model/fit/result.js';

export default class ModelFit extends AiotCommand {
  static override summary = 'Estimate flash, memory and latency on a microcontroller.';
  static override description =
    'Uses kernel costs from published sources (cycles per multiply-add, by operator, type and core), with an expected range. Without --chip, compares all chips. --measured reads measurements from devices (JSON or CSV; for the format, run aiot docs fit) and shows how far off the estimate is. Exits with 6 if the chip is too small or too slow.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> build/model.int8.tflite',
    '<%= config.bin %> <%= command.id %> build/model.int8.tflite --chip esp32s3 --latency 20',
    '<%= config.bin %> <%= command.id %> build/model.aiot --chip rp2040 --measured reports.json --json',
  ];
  static override args = {
    file: Args.string({ description: "A .tflite or .aiot file [default: the project's quantized model]." }),
  };
  static override flags = {
    project: shared.project,
    chip: Flags.string({ summary: 'Chip, such as esp32s3.', env: 'AIOT_CHIP', helpValue: 'NAME' }),
    flash: Flags.string({
      summary: "Available flash, such as 1MiB, instead of the chip's.",
      env: 'AIOT_FLASH',
      helpValue: 'SIZE',
    }),
    ram: Flags.string({
      summary: "Available RAM, such as 64KiB, instead of the chip's.",
      env: 'AIOT_RAM',
      helpValue: 'SIZE',
    }),
    latency: Flags.string({
      summary: 'Maximum inference time, in ms.',
      env: 'AIOT_LATENCY',
      helpValue: 'MS',
    }),
    measured: Flags.string({
      summary: 'File of measurements from devices.',
      env: 'AIOT_MEASURED',
      helpValue: 'FILE',
    }),
  };
  static override result = fitSchema;

  async run() {
    const input = await this.input(ModelFit);
    const { args, flags } = input;
    const result = await fitModel({
      ...flags,
      file: args.file ?? (await quantizedFile(flags.project)),
      project: args.file === undefined ? flags.project : undefined,
    });
    this.print(fitText(result));
    const [only] = result.chips;
    const refusal = flags.chip !== undefined && only ? refusalOf(only) : null;
    if (refusal && !this.jsonEnabled()) throw refusal;
    if (refusal) this.exitsWith(6);
    // Devices run bundles; a .tflite file alone does not describe its inputs.
    const pushed = args.file === undefined ? again(input, 'project') : pushedFrom(args.file);
    if (pushed !== undefined) this.suggest(next(`aiot model push${pushed}`));
    return result;
  }
}

/** Arguments that push a file's model; undefined for a .tflite file that is not in a project's build folder. */
function pushedFrom(file: string): string | undefined {
  if (file.endsWith('.aiot')) return ` ${shellWord(file)}`;
  const project = dirname(dirname(file));
  return existsSync(join(project, 'aiot.yaml')) ? ` --project ${shellWord(project)}` : undefined;
}
