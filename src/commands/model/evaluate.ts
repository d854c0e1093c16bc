import { join } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { evaluate } from '../../index.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { modelFlags } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { gateCases, junitReport } from '../../lib/cli/junit.js';
import { evaluationText, fileEvaluationText } from '../../lib/cli/render/evaluation.js';
import { next } from '../../lib/cli/render/text.js';
import { reportFile, reportFlags } from '../../lib/cli/report.js';
import { shellWord } from '../../lib/core/text.js';
import { evaluationSchema } from '../../lib/model/evaluate/evaluate-model.js';
import { gateError } from '../../lib/model/evaluate/gates.js';
import { outputKinds } from '../../lib/model/evaluate/result.js';

export default class ModelEvaluate extends AiotCommand {
  static override summary = 'Measure a model on what it was never trained on.';
  static override description =
    'Without FILE, the project’s network: float and quantized, by window and after the vote, on LiteRT and on the interpreter that computes as devices do. With FILE, any .tflite or .aiot file over the rows of --data: one column per input as the network takes it and the label. A bundle and a .tflite file of aiot carry their mean and deviation, and standardize the rows themselves. Several outputs are classes, one is a probability or a value. --outputs writes output_0, output_1, … as real values. Below a limit of --gate or of model.accept it exits with 6, after the figures.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --report report.html --gate macroF1=0.95 --gate auc=0.9',
    '<%= config.bin %> <%= command.id %> --junit gates.xml',
    '<%= config.bin %> <%= command.id %> model.tflite --data rows.csv --label label --runtime device --json',
    '<%= config.bin %> <%= command.id %> model.tflite --data rows.csv --classes normal,anomaly --outputs outputs.csv --open',
  ];
  static override args = {
    file: Args.string({ description: 'A .tflite or .aiot file; without it the project’s own network.' }),
  };
  static override flags = {
    project: shared.project,
    data: modelFlags.data,
    label: modelFlags.label,
    runtime: modelFlags.runtime,
    output: Flags.option({ options: outputKinds })({
      summary: 'What the outputs of FILE mean, where the file does not tell.',
      env: 'AIOT_OUTPUT',
    }),
    classes: modelFlags.classes,
    threshold: Flags.string({
      summary: 'From which probability (0.5) or reconstruction error on FILE says the second class.',
      env: 'AIOT_THRESHOLD',
      helpValue: 'X',
    }),
    gate: Flags.string({
      summary: 'Limit besides model.accept, such as macroF1=0.95; may be repeated.',
      env: 'AIOT_GATE',
      helpValue: 'FIGURE=LIMIT',
      multiple: true,
      delimiter: ',',
    }),
    outputs: Flags.string({
      summary: 'Write each row’s outputs here, as CSV.',
      env: 'AIOT_OUTPUTS',
      helpValue: 'FILE',
    }),
    integers: Flags.boolean({
      summary: 'Write quantized outputs as integers too.',
      env: 'AIOT_INTEGERS',
      dependsOn: ['outputs'],
    }),
    junit: shared.junit,
    ...reportFlags,
  };
  static override result = evaluationSchema;

  async run() {
    const input = await this.input(ModelEvaluate);
    const { args, flags } = input;
    const report = await reportFile(flags, 'evaluation');
    const junit = await junitReport(flags.junit, 'model evaluate');
    const result = await evaluate({
      ...flags,
      ...{ file: args.file, gates: flags.gate, report, signal: this.signal },
    });
    this.print('file' in result ? fileEvaluationText(result) : evaluationText(result));
    await junit(gateCases(result.gates));
    await this.showReport(report, flags);
    const refusal = gateError(result.gates);
    // For people the refusal comes as an error after the figures; in JSON it stands in the result.
    if (refusal && !this.jsonEnabled()) throw refusal;
    if (refusal) this.exitsWith(6);
    const at = again(input, 'project', 'data');
    if ('file' in result) this.print(next(`aiot model fit ${shellWord(result.file)}`));
    else {
      const file = shellWord(join(flags.project, 'build', result.network));
      this.print(next(`aiot model push${at}`, `aiot model explain${at}`, `aiot model inspect ${file}`));
    }
    return result;
  }
}
