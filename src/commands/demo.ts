import { Flags } from '@oclif/core';
import { AiotCommand } from '../lib/cli/command.js';
import { runSteps } from '../lib/cli/live/steps.js';
import { demoSummary } from '../lib/cli/render/project.js';
import { drawsOver } from '../lib/cli/render/text.js';
import { createDemo, demoFolder, demoResultSchema } from '../lib/demo/demo.js';

export default class Demo extends AiotCommand {
  static override summary = 'Train, deploy and run a model on this machine.';
  static override description =
    'Streams recorded motion data to its own platform, checks the data, trains a model and quantizes it to int8. It then signs the model, rolls it out to four virtual devices and scores their predictions. Needs no hardware and no other service. It shuts down everything that it started.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --data ./recordings --out ./demo',
    '<%= config.bin %> <%= command.id %> --native',
  ];
  static override flags = {
    data: Flags.string({
      summary: 'Folder of your own recordings, named by class, such as walking1.csv (columns x, y, z).',
      env: 'AIOT_DATA',
      helpValue: 'DIR',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'Folder for the output [default: a new folder in your user data directory].',
      env: 'AIOT_OUT',
      helpValue: 'DIR',
    }),
    native: Flags.boolean({
      summary: "Run the firmware's core for each device, each in its own process.",
      env: 'AIOT_NATIVE',
    }),
    'http-port': Flags.integer({
      summary: 'API port; 0 = any free port.',
      env: 'AIOT_HTTP_PORT',
      default: 0,
      min: 0,
      max: 65_535,
    }),
    'mqtt-port': Flags.integer({
      summary: 'Broker port; 0 = any free port.',
      env: 'AIOT_MQTT_PORT',
      default: 0,
      min: 0,
      max: 65_535,
    }),
  };
  static override result = demoResultSchema;

  async run() {
    const { flags } = await this.input(Demo);
    const folder = await demoFolder(flags.out, Date.now());
    const demo = createDemo({
      folder,
      recordings: flags.data,
      httpPort: flags['http-port'],
      mqttPort: flags['mqtt-port'],
      devices: 4,
      native: flags.native,
      signal: this.signal,
    });
    try {
      await runSteps('aiot demo: from a sensor stream to predictions on devices', demo.steps, {
        json: this.jsonEnabled(),
        quiet: flags.quiet,
        tty: drawsOver(process.stderr),
        signal: this.signal,
      });
      const result = demo.result();
      this.print(demoSummary(result));
      return result;
    } finally {
      await demo.close();
    }
  }
}
