import { Args, Flags } from '@oclif/core';
import { quantize } from '../../index.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { lossFlags, modelFlags } from '../../lib/cli/flags/models.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { next } from '../../lib/cli/render/text.js';
import { quantizationText } from '../../lib/cli/render/training.js';
import { reportFile, reportFlags } from '../../lib/cli/report.js';
import { quantizeModes } from '../../lib/core/project-schema.js';
import { shellWord } from '../../lib/core/text.js';
import { emits } from '../../lib/model/emit/emit.js';
import { targets } from '../../lib/model/quantize/quantize-model.js';
import { quantizeResultSchema } from '../../lib/model/quantize/result.js';
import { calibrations } from '../../lib/model/quantize/types.js';

export default class ModelQuantize extends AiotCommand {
  static override summary = 'Quantize a float network: int8, int16x8, dynamic range or float16.';
  static override description =
    'Without FILE, the project’s network with model.quantize of aiot.yaml, calibrated on its training part. With FILE, any float .tflite file over the rows of --data (one column per input), without a project; a file that carries its mean and deviation, as those of aiot do, standardizes them itself. Weights get a scale per output channel, activations a range from the rows. What is left of the float network’s accuracy and signal is measured and told.';
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
    file: Args.string({ description: 'A float .tflite file; without it the project’s own network.' }),
  };
  static override flags = {
    project: shared.project,
    data: modelFlags.data,
    mode: Flags.option({ options: quantizeModes })({
      summary: 'Numbers to keep the network in (int8).',
      env: 'AIOT_MODE',
    }),
    io: Flags.option({ options: ['int8', 'float32'] as const })({
      summary: 'Type of its input and output; int8 stands for int16 in int16x8.',
      env: 'AIOT_IO',
    }),
    calibration: Flags.option({ options: calibrations })({
      summary: 'How ranges are chosen (auto: for each tensor, by the output).',
      env: 'AIOT_CALIBRATION',
    }),
    ...lossFlags,
    label: modelFlags.label,
    classes: modelFlags.classes,
    evaluate: Flags.string({
      summary: 'CSV file of labelled rows to measure the loss on, instead of those of --data.',
      env: 'AIOT_EVALUATE',
      helpValue: 'FILE',
    }),
    emit: Flags.option({ options: emits })({
      summary:
        'Write source too: C11 that needs no runtime, into a folder, or C++ for TFLite Micro beside the file.',
      env: 'AIOT_EMIT',
    }),
    target: Flags.option({ options: targets })({
      summary: 'Compile it for an accelerator too: NAME_edgetpu.tflite, by edgetpu_compiler.',
      env: 'AIOT_TARGET',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'The file to write; with --emit c, the folder.',
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
    const file = shellWord(result.file);
    if (args.file === undefined)
      this.print(next(`aiot model evaluate${again(input, 'project', 'data')}`, `aiot model inspect ${file}`));
    else {
      const rows = flags.evaluate ?? flags.data;
      const of = rows && `${shellWord(rows)}${again(input, 'label', 'classes')}`;
      this.print(next(...(of ? [`aiot model evaluate ${file} --data ${of}`] : []), `aiot model fit ${file}`));
    }
    return result;
  }
}
