import { Args, Flags } from '@oclif/core';
import { quantize } from '../../index.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { lossFlags, modelFlags } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next, shownPath } from '../../lib/cli/render/text.js';
import { quantizationText } from '../../lib/cli/render/training.js';
import { reportFile, reportFlags } from '../../lib/cli/report.js';
import { quantizeModes } from '../../lib/core/project-schema.js';
import { shellWord } from '../../lib/core/text.js';
import { emits } from '../../lib/model/emit/emit.js';
import { targets } from '../../lib/model/quantize/quantize-model.js';
import { calibrations, quantizeResultSchema } from '../../lib/model/quantize/result.js';

export default class ModelQuantize extends AiotCommand {
  static override summary = 'Quantize a model: int8, int16x8, dynamic range or float16.';
  static override description =
    "Without FILE, quantizes the project's model with model.quantize of aiot.yaml, calibrated on its training set. With FILE, quantizes any float .tflite file, calibrated on the rows of --data (one column per input); no project is needed. For a file made by aiot, pass unscaled rows: the file contains the mean and standard deviation for scaling. Weights get one scale per output channel; activation ranges come from the rows. The accuracy and the signal-to-noise ratio are measured against the float model and printed.";
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> float.tflite --data rows.csv --mode int8 --out int8.tflite --json',
    '<%= config.bin %> <%= command.id %> float.tflite --data rows.csv --max-loss 0.5 --evaluate test.csv --classes normal,anomaly',
    '<%= config.bin %> <%= command.id %> float.tflite --data rows.csv --emit tflm',
    '<%= config.bin %> <%= command.id %> float.tflite --data rows.csv --emit c --out motor',
    '<%= config.bin %> <%= command.id %> --target edgetpu',
    '<%= config.bin %> <%= command.id %> --report quantization.html --open',
  ];
  static override args = {
    file: Args.string({ description: "A float .tflite file [default: the project's own model]." }),
  };
  static override flags = {
    project: shared.project,
    data: modelFlags.data,
    mode: Flags.option({ options: quantizeModes })({
      summary: 'Data types of the quantized model [default: model.quantize in aiot.yaml, else int8].',
      env: 'AIOT_MODE',
    }),
    io: Flags.option({ options: ['int8', 'float32'] as const })({
      summary:
        'Type of the input and output: float32, or the integer type of the mode (int8; int16 for int16x8).',
      env: 'AIOT_IO',
    }),
    calibration: Flags.option({ options: calibrations })({
      summary:
        'Method for choosing ranges; auto chooses the best one for each tensor, measured at the output [default: model.quantize in aiot.yaml, else auto].',
      env: 'AIOT_CALIBRATION',
    }),
    ...lossFlags,
    label: modelFlags.label,
    classes: modelFlags.classes,
    evaluate: Flags.string({
      summary: 'CSV file of labeled rows for measuring the loss [default: the rows of --data].',
      env: 'AIOT_EVALUATE',
      helpValue: 'FILE',
    }),
    emit: Flags.option({ options: emits })({
      summary:
        'Also write source code: C11 without a runtime into a folder, or C++ for TFLite Micro next to the file.',
      env: 'AIOT_EMIT',
    }),
    target: Flags.option({ options: targets })({
      summary: 'Also compile for an accelerator: NAME_edgetpu.tflite, using edgetpu_compiler.',
      env: 'AIOT_TARGET',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'File to write; with --emit c, the folder.',
      env: 'AIOT_OUT',
      helpValue: 'FILE',
    }),
    ...reportFlags,
  };
  static override result = quantizeResultSchema;

  async run() {
    const input = await this.input(ModelQuantize);
    const { args, flags } = input;
    const report = await reportFile(flags, 'quantization');
    const { update } = this.progress();
    const result = await quantize({
      ...flags,
      report,
      file: args.file,
      biasCorrection: flags['bias-correction'],
      maxLoss: flags['max-loss'],
      signal: this.signal,
      onProgress: ({ step }) => update(step),
    });
    this.print(quantizationText(result));
    await this.showReport(report, flags);
    const file = shellWord(shownPath(result.file));
    if (args.file === undefined)
      this.suggest(
        next(`aiot model evaluate${again(input, 'project', 'data')}`, `aiot model inspect ${file}`),
      );
    else {
      const rows = flags.evaluate ?? flags.data;
      const of = rows && `${shellWord(rows)}${again(input, 'label', 'classes')}`;
      this.suggest(
        next(...(of ? [`aiot model evaluate ${file} --data ${of}`] : []), `aiot model fit ${file}`),
      );
    }
    return result;
  }
}
