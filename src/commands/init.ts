import { Args, Flags } from '@oclif/core';
import { AiotCommand, facts, next, plural, shellWord } from '../lib/cli/index.js';
import { initProject, initResultSchema } from '../lib/project/index.js';

export default class Init extends AiotCommand {
  static override summary = 'Make a project from a template: recordings to learn from, or a system to start.';
  static override description =
    'har-imu: resting, walking or on stairs, from real accelerometer recordings. motor-watch: normal or an anomaly, from a simulated motor. iot-kit: boards, routes and consumers over MQTT and Kafka. face-camera: faces from a camera, over two brokers into an object store.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> my-watch --template har-imu',
    '<%= config.bin %> <%= command.id %> pump --template motor-watch --name pump-hall-2',
    '<%= config.bin %> <%= command.id %> kit --template iot-kit',
  ];
  static override args = {
    dir: Args.string({ default: '.', description: 'Folder to make; it must be new or empty.' }),
  };
  static override flags = {
    template: Flags.string({
      char: 't',
      summary: 'Template to copy: har-imu, motor-watch, iot-kit or face-camera.',
      default: 'har-imu',
      env: 'AIOT_TEMPLATE',
      helpValue: 'NAME',
    }),
    name: Flags.string({
      summary: 'Name of the project; the folder’s own name when absent.',
      env: 'AIOT_NAME',
      helpValue: 'NAME',
    }),
  };
  static override result = initResultSchema;

  async run() {
    const { args, flags } = await this.input(Init);
    const made = await initProject({ dir: args.dir, template: flags.template, name: flags.name });
    const labels = Object.entries(made.labels).map(([label, count]) => `${label} ${count}`);
    const lines: [string, string][] = [
      ['Project', `${made.name} (${made.template})`],
      ['Folder', made.dir],
      ['Files', made.files.join(', ')],
    ];
    const recordings = `${made.recordings}, ${plural(made.samples, 'sample')}: ${labels.join(', ')}`;
    if (!made.runs) lines.push(['Recordings', recordings]);
    this.print(facts(lines));
    const at = `--project ${shellWord(args.dir)}`;
    const there = args.dir === '.' ? '' : ` ${at}`;
    const steps = [`aiot model train${there}`, `aiot pipeline run${there}`];
    this.print(next(...(made.runs ? [`aiot up ${at}`] : steps)));
    return made;
  }
}
