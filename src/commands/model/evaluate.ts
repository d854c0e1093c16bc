import { join } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { evaluate } from '../../index.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { modelFlags } from '../../lib/cli/flags/models.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { gateCases, junitReport } from '../../lib/cli/junit.js';
import { evaluationText, fileEvaluationText } from '../../lib/cli/render/evaluation.js';
import { fileStep } from '../../lib/cli/render/inspection.js';
import { next, shownPath } from '../../lib/cli/render/text.js';
import { reportFile, reportFlags } from '../../lib/cli/report.js';
import { shellWord } from '../../lib/core/text.js';
import { evaluationSchema } from '../../lib/model/evaluate/evaluate-model.js';
import { gateError } from '../../lib/model/evaluate/gates.js';
import { outputKinds } from '../../lib/model/evaluate/result.js';

export default class ModelEvaluate extends AiotCommand {
  static override summary = 'Evaluate a model on held-out data.';
  static override description =
    "Without FILE, evaluates the project's model: float and quantized, per window and after smoothing, with LiteRT and with the device interpreter. With FILE, evaluates any .tflite or .aiot file on the rows of --data: one column per input, plus the label. For bundles and .tflite files made by aiot, pass unscaled rows: the files contain the mean and standard deviation for scaling. An output of several values is treated as classes, a single value as a probability or a real value. If the model has several outputs, --output-name chooses one. --outputs writes output_0, output_1, … as real values. If a metric does not meet a limit in --gate or model.accept, exits with 6 after printing the metrics.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --report report.html --gate macroF1=0.95 --gate auc=0.9',
    '<%= config.bin %> <%= command.id %> --sensor-drop --junit gates.xml',
    '<%= config.bin %> <%= command.id %> --streaming 60m',
    '<%= config.bin %> <%= command.id %> model.tflite --data rows.csv --label label --runtime device --json',
    '<%= config.bin %> <%= command.id %> model.tflite --data rows.csv --classes normal,anomaly --outputs outputs.csv --open',
    '<%= config.bin %> <%= command.id %> two-heads.tflite --data rows.csv --output-name activity',
  ];
  static override args = {
    file: Args.string({ description: "A .tflite or .aiot file [default: the project's own model]." }),
  };
  static override flags = {
    project: shared.project,
    data: modelFlags.data,
    label: modelFlags.label,
    runtime: modelFlags.runtime,
    output: Flags.option({ options: outputKinds })({
      summary: "Type of FILE's outputs, if the file does not specify it.",
      env: 'AIOT_OUTPUT',
    }),
    'output-name': modelFlags.outputName,
    classes: modelFlags.classes,
    threshold: Flags.string({
      summary:
        'Predict the second class of FILE at or above this probability or reconstruction error [default: that of the bundle, or 0.5 for a probability].',
      env: 'AIOT_THRESHOLD',
      helpValue: 'X',
    }),
    gate: Flags.string({
      summary: 'Limit in addition to model.accept, such as macroF1=0.95. Repeatable.',
      env: 'AIOT_GATE',
      helpValue: 'METRIC=LIMIT',
      multiple: true,
      delimiter: ',',
    }),
    outputs: Flags.string({
      summary: "Write each row's outputs to this CSV file.",
      env: 'AIOT_OUTPUTS',
      helpValue: 'FILE',
    }),
    'sensor-drop': Flags.boolean({
      summary: 'Also evaluate with each field missing in turn.',
      env: 'AIOT_SENSOR_DROP',
    }),
    integers: Flags.boolean({
      summary: 'Also write quantized outputs as integers.',
      env: 'AIOT_INTEGERS',
      dependsOn: ['outputs'],
    }),
    streaming: duration({
      summary:
        'Also simulate a stream of this length, with words among noise and among other sounds. Counts detections and false alarms; with model.reject.falseAlarms, also for other thresholds.',
      env: 'AIOT_STREAMING',
    }),
    background: Flags.string({
      summary:
        'Class in the stream that does not count as a detection [default: other, or the first class of a probability].',
      env: 'AIOT_BACKGROUND',
      helpValue: 'CLASS',
      dependsOn: ['streaming'],
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
      ...{ file: args.file, outputName: flags['output-name'], gates: flags.gate },
      ...{ sensorDrop: flags['sensor-drop'], streamMs: flags.streaming, report, signal: this.signal },
    });
    const at = again(input, 'project', 'data');
    this.print('file' in result ? fileEvaluationText(result) : evaluationText(result, at));
    await junit(gateCases(result.gates));
    await this.showReport(report, flags);
    const refusal = gateError(result.gates);
    // In output for people, the failed gate is an error after the metrics. In JSON, it is part of the result.
    if (refusal && !this.jsonEnabled()) throw refusal;
    if (refusal) this.exitsWith(6);
    if ('file' in result) this.suggest(next(fileStep(result, shownPath(result.file))));
    else {
      const file = shellWord(shownPath(join(flags.project, 'build', result.network)));
      this.suggest(next(`aiot model push${at}`, `aiot model explain${at}`, `aiot model inspect ${file}`));
    }
    return result;
  }
}
