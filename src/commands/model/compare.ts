import { Args, Flags } from '@oclif/core';
import { withClient } from '../../lib/api/context.js';
import { resolveModel } from '../../lib/api/reference.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { modelFlags } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { comparisonText } from '../../lib/cli/render/evaluation.js';
import { next } from '../../lib/cli/render/text.js';
import { shellWord } from '../../lib/core/text.js';
import { outputKinds } from '../../lib/model/evaluate/result.js';
import { compareModels } from '../../lib/model/inspect/compare.js';
import { comparisonSchema } from '../../lib/model/inspect/comparison.js';
import { fetchModel } from '../../lib/model/publish/pull.js';
import { isModelPath } from '../../lib/model/publish/verify.js';

export default class ModelCompare extends AiotCommand {
  static override summary = 'Compare two models and show where they disagree.';
  static override description =
    "Compares files (.tflite, .aiot), projects (their quantized model) or registry versions (har@3, har@production). Shows each model's size, operators and arena. On the rows of --data, or the project's test set, it also shows metrics and a table of the predictions that differ. McNemar's test shows whether the difference is significant.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> build/model.float.tflite build/model.int8.tflite --data rows.csv',
    '<%= config.bin %> <%= command.id %> old-project new-project --json',
    '<%= config.bin %> <%= command.id %> har@production har@latest --data rows.csv',
  ];
  static override args = {
    a: Args.string({
      required: true,
      description: 'A .tflite or .aiot file, a project folder, or NAME@VERSION.',
    }),
    b: Args.string({ required: true, description: 'Second model.' }),
  };
  static override flags = {
    data: Flags.string({
      summary: 'CSV file of rows to run both models on.',
      env: 'AIOT_DATA',
      helpValue: 'FILE',
    }),
    label: modelFlags.label,
    runtime: modelFlags.runtime,
    output: Flags.option({ options: outputKinds })({
      summary: 'Type of the outputs, if the files do not specify it.',
      env: 'AIOT_OUTPUT',
    }),
    'output-name': modelFlags.outputName,
    classes: Flags.string({
      summary: 'Class names in the order of the outputs.',
      env: 'AIOT_CLASSES',
      helpValue: 'A,B,…',
    }),
    context: shared.context,
  };
  static override result = comparisonSchema;

  async run() {
    const input = await this.input(ModelCompare);
    const { args, flags } = input;
    const classes = flags.classes?.split(',');
    const getVersion = (reference: string) =>
      withClient(flags.context, async (client) => {
        const model = await resolveModel(client, reference);
        return (await fetchModel(client, model, null)).bytes;
      });
    const result = await compareModels({
      ...{ ...args, ...flags, outputName: flags['output-name'], classes, getVersion },
      signal: this.signal,
    });
    this.print(comparisonText(result));
    const b = shellWord(result.b.file);
    const isVersion = result.b.file.includes('@') && !(await isModelPath(result.b.file));
    const at = again(input, 'context');
    this.print(
      isVersion
        ? next(`aiot model lineage ${b}${at}`, `aiot model promote ${b}${at}`)
        : next(`aiot model fit ${b}`, `aiot model push ${b}${at}`),
    );
    return result;
  }
}
