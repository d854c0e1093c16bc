import { Args, Flags } from '@oclif/core';
import { AiotCommand, comparisonText, modelFlags, next, shellWord } from '../../lib/cli/index.js';
import { compareModels, comparisonSchema, outputKinds } from '../../lib/model/index.js';

export default class ModelCompare extends AiotCommand {
  static override summary = 'Put two models beside each other, and show where they disagree.';
  static override description =
    'Files (.tflite, .aiot), or folders of projects whose quantized network is meant. Sizes, operators, arena; and on the rows of --data, or the test part of the project, figures, a table of what each says where they differ, and whether the difference is more than chance (McNemar).';
  static override examples = [
    '<%= config.bin %> <%= command.id %> build/model.float.tflite build/model.int8.tflite --data rows.csv',
    '<%= config.bin %> <%= command.id %> old-project new-project --json',
  ];
  static override args = {
    a: Args.string({ required: true, description: 'A .tflite or .aiot file, or the folder of a project.' }),
    b: Args.string({ required: true, description: 'Another one.' }),
  };
  static override flags = {
    data: Flags.string({ summary: 'CSV file of rows to run both on.', env: 'AIOT_DATA', helpValue: 'FILE' }),
    label: modelFlags.label,
    runtime: modelFlags.runtime,
    output: Flags.option({ options: outputKinds })({
      summary: 'What the outputs mean, where the files do not tell.',
      env: 'AIOT_OUTPUT',
    }),
    classes: Flags.string({
      summary: 'Classes in the order of the outputs.',
      env: 'AIOT_CLASSES',
      helpValue: 'A,B,…',
    }),
  };
  static override result = comparisonSchema;

  async run() {
    const { args, flags } = await this.input(ModelCompare);
    const classes = flags.classes?.split(',');
    const result = await compareModels({ ...args, ...flags, classes, signal: this.signal });
    this.print(comparisonText(result));
    const b = shellWord(result.b.file);
    this.print(next(`aiot model fit ${b}`, `aiot model push ${b}`));
    return result;
  }
}
