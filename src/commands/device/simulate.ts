import { Args } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { enrollFlags } from '../../lib/cli/flags/batches.js';
import { virtualDeviceFlags } from '../../lib/cli/flags/fleet.js';
import { enrollNotes } from '../../lib/cli/render/batches.js';
import { dim, timeOfDay } from '../../lib/cli/render/text.js';
import { AiotError } from '../../lib/core/errors.js';
import { boardEventSchema, describeBoardEvent, simulateBoard } from '../../lib/device/board.js';
import { describeEvent, deviceEventSchema } from '../../lib/device/events.js';
import { simulateNative } from '../../lib/device/native/simulate.js';
import { simulateDevice } from '../../lib/device/simulate.js';
import { enrollDevice } from '../../lib/provision/batch.js';

export default class DeviceSimulate extends AiotCommand {
  static override summary = 'Run one virtual device.';
  static override description =
    "DEVICE is an identity folder from aiot device provision; with --batch, the device itself obtains its identity, once it is approved. The device's flash is stored there too, so the device resumes where it stopped. With --recording or --motor, it sends samples and, once it has a model that fits, predictions. Without either, it handles only updates and commands. With --project, it also runs the commands that the project defines for its type. --native runs the firmware's own core, built from source, as a process. --native without DEVICE registers a device: the first of native-1, native-2, … that is not running. --board simulates a board with its own topics and payloads, which needs no identity; run aiot docs iot-kit or aiot docs guide-services. For fleets, use aiot fleet simulate; for serial ports, aiot board simulate. Press Ctrl-C to stop.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> devices/motor-1 --motor healthy',
    '<%= config.bin %> <%= command.id %> devices/wearable-1 --recording walking1.csv --speed max',
    '<%= config.bin %> <%= command.id %> devices/wearable-1 --recording walking1.csv --predict --loop --for 30s --json',
    '<%= config.bin %> <%= command.id %> devices/pump-1 --project pump',
    '<%= config.bin %> <%= command.id %> devices/A7-0001 --batch july.json --motor healthy',
    '<%= config.bin %> <%= command.id %> --native --json',
    '<%= config.bin %> <%= command.id %> --native --program firmware/build/host/aiot-device',
    '<%= config.bin %> <%= command.id %> --board iot-kit --to mqtt://127.0.0.1:1883 --rate 50 --count 600',
    '<%= config.bin %> <%= command.id %> 14333616 --board architects-guide --motor blocked',
    '<%= config.bin %> <%= command.id %> 14339204 --board architects-guide-level-2 --native',
  ];
  static override args = {
    device: Args.string({
      description:
        'Identity folder; for an architects-guide board, its decimal chip ID; for an IoT kit, its MAC.',
    }),
  };
  static override flags = { ...virtualDeviceFlags, ...enrollFlags };
  static override result = z.union([deviceEventSchema, boardEventSchema]);

  async run() {
    const { args, flags } = await this.input(DeviceSimulate);
    const { board, to, count, motor, seed, native, program, context, recording, stream, project } = flags;
    const { speed, predict, loop, rate: rateHz, for: forMs } = flags;
    const onBuild = () => this.stages()({ text: 'Building the native device' });
    const common = { rateHz, forMs, seed, motor, native, program, onBuild, signal: this.signal };
    if (board !== undefined) {
      const onEvent = this.teller(describeBoardEvent);
      return simulateBoard({ ...common, board, id: args.device, to, count, context, onEvent });
    }
    const onEvent = this.teller(describeEvent);
    const options = { ...common, recording, stream, project, speed, predict, loop, onEvent };
    if (args.device !== undefined) await this.enroll(args.device, flags);
    if (args.device !== undefined) return simulateDevice({ ...options, identityDir: args.device });
    if (native) return simulateNative({ ...options, context });
    throw new AiotError('AIOT_USAGE', 'missing DEVICE: the identity folder made by aiot device provision', {
      next: 'Pass DEVICE, --native or --board.',
    });
  }

  /** Obtains the identity of a new device with the key of its batch. */
  private async enroll(
    dir: string,
    { batch, serial }: { batch?: string | undefined; serial?: string | undefined },
  ) {
    if (batch === undefined) return;
    const notes = enrollNotes((text) => this.note(text));
    await enrollDevice({ dir, batch, serial, signal: this.signal, ...notes });
  }

  /** Returns a function that prints each event, including its time when the output is for people. */
  private teller<E extends { t: number }>(describe: (event: E) => string): (event: E) => void {
    return (event) => this.item(event, () => `${dim(timeOfDay(event.t))}  ${describe(event)}`);
  }
}
