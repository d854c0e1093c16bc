import { Args, Flags, type Interfaces } from '@oclif/core';
import { AiotCommand } from '../lib/cli/command.js';
import { hertz, labelFrom } from '../lib/cli/flags/models.js';
import { askForProject, type Beginning } from '../lib/cli/init-questions.js';
import { createAsker } from '../lib/cli/questions.js';
import { commandsAfterInit, initText, surveyRemark, surveyText } from '../lib/cli/render/project.js';
import { forTerminal, next } from '../lib/cli/render/text.js';
import { type ChipName, chipNames } from '../lib/model/fit/chips.js';
import { initOwnProject, initProject, initResultSchema, refuseOccupied } from '../lib/project/init.js';
import { surveyData } from '../lib/project/own-project.js';

export default class Init extends AiotCommand {
  static override summary = 'Create a project from a template or your own data.';
  static override description =
    'On a terminal, asks a few questions unless you pass --template or --from. har-imu classifies resting, walking and stairs from real accelerometer recordings. motor-watch detects normal, worn or abnormal states of a simulated motor. keyword-spotting detects spoken words; its voices are synthetic. person-or-part classifies pictures, such as parts on a tray. count-parts finds and counts the parts. iot-kit connects boards, routes and consumers over MQTT and Kafka. face-camera sends faces from a camera over two brokers to an object store. --from copies your own data into the project: a folder of CSV or WAV recordings, or a CSV file of rows. Data without labels is used for anomaly detection.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> my-watch --template har-imu',
    '<%= config.bin %> <%= command.id %> pump --template motor-watch --name pump-hall-2',
    '<%= config.bin %> <%= command.id %> listener --template keyword-spotting',
    '<%= config.bin %> <%= command.id %> tray --template person-or-part',
    '<%= config.bin %> <%= command.id %> fan --from recordings --rate 200 --chip esp32s3',
    '<%= config.bin %> <%= command.id %> line --from rows.csv --label-from column:quality',
    '<%= config.bin %> <%= command.id %> kit --template iot-kit',
  ];
  static override args = {
    dir: Args.string({ default: '.', description: 'Folder to create; it must be new or empty.' }),
  };
  static override flags = {
    template: Flags.string({
      char: 't',
      summary:
        'Template: har-imu (default), motor-watch, keyword-spotting, person-or-part, count-parts, iot-kit, face-camera.',
      env: 'AIOT_TEMPLATE',
      helpValue: 'NAME',
      exclusive: ['from'],
    }),
    from: Flags.string({
      summary: 'Your own data: a folder of CSV or WAV recordings, or a CSV file of rows.',
      env: 'AIOT_FROM',
      helpValue: 'PATH',
    }),
    'label-from': labelFrom({ dependsOn: ['from'] }),
    rate: hertz({ summary: 'Sampling rate of your recordings.', env: 'AIOT_RATE', dependsOn: ['from'] }),
    chip: Flags.string({
      summary: 'Target chip for the model, such as esp32s3; its memory sets the limits.',
      env: 'AIOT_CHIP',
      helpValue: 'NAME',
      options: chipNames,
      dependsOn: ['from'],
    }),
    name: Flags.string({
      summary: "Project name [default: the folder's name].",
      env: 'AIOT_NAME',
      helpValue: 'NAME',
    }),
  };
  static override result = initResultSchema;

  async run() {
    const { args, flags } = await this.input(Init);
    const { dir } = args;
    // The folder is checked first, so that the user does not answer questions in vain.
    await refuseOccupied(dir);
    const beginning = await this.beginning(dir, flags);
    const made =
      'survey' in beginning
        ? await initOwnProject({ dir, ...beginning })
        : await initProject({ dir, ...beginning });
    this.print(initText(made));
    const remark = 'survey' in beginning ? surveyRemark(beginning.survey, dir) : null;
    if (remark !== null) this.print(remark);
    this.suggest(next(...commandsAfterInit(made, dir)));
    return made;
  }

  /** Determines what the project is based on: from the flags or, without them, by asking the user. */
  private async beginning(
    dir: string,
    flags: Interfaces.InferredFlags<typeof Init.flags>,
  ): Promise<Beginning> {
    const { name, template, from, rate } = flags;
    if (from !== undefined) {
      const survey = await surveyData({ path: from, labelFrom: flags['label-from'], rateHz: rate });
      this.print(`${surveyText(survey)}\n`);
      return { name, survey, chip: flags.chip as ChipName | undefined };
    }
    const asks = template === undefined && process.stdin.isTTY && process.stderr.isTTY && !this.jsonEnabled();
    if (!asks) return { name, template: template ?? 'har-imu' };
    const asker = createAsker(this.signal);
    try {
      return await askForProject(asker, { dir, name }, (text) =>
        process.stderr.write(forTerminal(`${text}\n`)),
      );
    } finally {
      asker.close();
    }
  }
}
