import { Args, Flags } from '@oclif/core';
import { AiotCommand, dim, duration, timeOfDay } from '../../lib/cli/index.js';
import { motorStates } from '../../lib/data/index.js';
import { describeEvent, deviceEventSchema, parseSpeed, simulateDevice } from '../../lib/device/index.js';

export default class DeviceSimulate extends AiotCommand {
  static override summary = 'Run a virtual device: it sends samples, takes updates, and predicts.';
  static override description =
    'The device is the one whose identity is in DIR (aiot device provision). Its flash is kept there too, so that it goes on where it was. Without --recording and --motor it is only there for updates and commands. Ctrl-C ends it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> devices/motor-1 --motor healthy',
    '<%= config.bin %> <%= command.id %> devices/wearable-1 --recording walking1.csv --speed max',
    '<%= config.bin %> <%= command.id %> devices/wearable-1 --recording walking1.csv --predict --loop --for 30s --json',
  ];
  static override args = {
    dir: Args.string({ required: true, description: "Folder of the device's identity." }),
  };
  static override flags = {
    recording: Flags.string({
      summary: 'CSV file to replay.',
      env: 'AIOT_RECORDING',
      helpValue: 'FILE',
      exclusive: ['motor'],
    }),
    motor: Flags.option({ options: motorStates })({
      summary: 'Watch a simulated motor in this state.',
      env: 'AIOT_MOTOR',
    }),
    rate: Flags.integer({
      summary: 'Samples a second [default: 100, a motor 200].',
      min: 1,
      max: 100_000,
      env: 'AIOT_RATE',
      helpValue: 'HZ',
    }),
    stream: Flags.string({
      summary: "Telemetry stream [default: the template's].",
      env: 'AIOT_STREAM',
      helpValue: 'NAME',
    }),
    speed: Flags.custom<number | 'max'>({ parse: async (text) => parseSpeed(text) })({
      summary: '1 = as it was recorded, max = as fast as the broker takes it.',
      default: 1,
      env: 'AIOT_SPEED',
      helpValue: 'FACTOR',
    }),
    predict: Flags.boolean({
      summary: "Send the model's answers instead of the samples.",
      env: 'AIOT_PREDICT',
    }),
    loop: Flags.boolean({
      summary: 'Begin the recording again when it ends.',
      env: 'AIOT_LOOP',
      // Not dependsOn: the usage line would then show --recording as if it needed --loop.
      relationships: [{ type: 'all', flags: ['recording'] }],
    }),
    for: duration({ summary: 'End after this time, such as 30s.', env: 'AIOT_FOR' }),
    seed: Flags.integer({ summary: "Of the motor's chance.", min: 0, default: 7, env: 'AIOT_SEED' }),
  };
  static override result = deviceEventSchema;

  async run() {
    const { args, flags } = await this.input(DeviceSimulate);
    const { rate: rateHz, for: forMs, ...how } = flags;
    await simulateDevice({
      ...how,
      identityDir: args.dir,
      rateHz,
      forMs,
      signal: this.signal,
      onEvent: (event) => this.item(event, () => `${dim(timeOfDay(event.t))}  ${describeEvent(event)}`),
    });
  }
}
