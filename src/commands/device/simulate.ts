import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import {
  chipFlags,
  fleetSimulationFlags,
  kitFlags,
  otherSimulation,
  requireDir,
  sensorFlags,
  type Tell,
} from '../../lib/cli/flags/simulation.js';
import { dim } from '../../lib/cli/render/style.js';
import { timeOfDay } from '../../lib/cli/render/time.js';
import { type DeviceEvent, describeEvent, deviceEventSchema } from '../../lib/device/events.js';
import { fleetEventSchema } from '../../lib/device/fleet/simulate.js';
import { guideEventSchema } from '../../lib/device/guide/simulate.js';
import { kitEventSchema } from '../../lib/device/kit.js';
import { simulateNatives } from '../../lib/device/native/simulate.js';
import { simulateDevice } from '../../lib/device/simulate.js';
import { chipEventSchema } from '../../lib/flash/rom/simulate.js';

export default class DeviceSimulate extends AiotCommand {
  static override summary =
    'Run a virtual device, a fleet of them, a board of the IoT kit, or a bare chip on a serial port.';
  static override description =
    'The device is the one whose identity is in DIR (aiot device provision). Its flash is kept there too, so that it goes on where it was. Without --recording and --motor it is only there for updates and commands. With --count and no DIR it is a fleet at the platform in use, whose devices take updates: docs/simulation.md. With --native it is the firmware’s own core, as a process built from its sources; without DIR, --count of them at the platform in use. With --serial it is a bare chip instead, for aiot flash, aiot monitor, esptool and espflash: docs/flash.md. With --board it is a board at a broker that knows no TLS: docs/tutorials/iot-kit.md, or one of the guide’s at aiot up --compat architects-guide: docs/platform.md; with --native the latter is the firmware’s core, too. Ctrl-C ends it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> devices/motor-1 --motor healthy',
    '<%= config.bin %> <%= command.id %> devices/wearable-1 --recording walking1.csv --speed max',
    '<%= config.bin %> <%= command.id %> devices/wearable-1 --recording walking1.csv --predict --loop --for 30s --json',
    '<%= config.bin %> <%= command.id %> --count 10000 --type esp32 --fail-rate 2% --for 60s --json',
    '<%= config.bin %> <%= command.id %> --native --count 3 --json',
    '<%= config.bin %> <%= command.id %> --native --program firmware/build/host/aiot-device',
    '<%= config.bin %> <%= command.id %> --board iot-kit --to mqtt://127.0.0.1:1883 --rate 50 --count 600',
    '<%= config.bin %> <%= command.id %> --board architects-guide --chip-id 14333616 --motor blocked',
    '<%= config.bin %> <%= command.id %> --native --board architects-guide --chip-id 14339204 --role level-2',
    '<%= config.bin %> <%= command.id %> --serial --chip esp32c3 --flash board.bin',
    '<%= config.bin %> <%= command.id %> --serial --listen socket://127.0.0.1:5555 --fault "unplugged after=40"',
  ];
  static override args = {
    dir: Args.string({ description: "Folder of the device's identity." }),
  };
  static override flags = {
    ...sensorFlags,
    for: duration({ summary: 'End after this time, such as 30s.', env: 'AIOT_FOR' }),
    seed: Flags.integer({
      summary: "Of the motor's or the board's chance.",
      min: 0,
      default: 7,
      env: 'AIOT_SEED',
    }),
    ...kitFlags,
    ...fleetSimulationFlags,
    ...chipFlags,
    context: shared.context,
  };
  static override result = z.union([
    deviceEventSchema,
    chipEventSchema,
    kitEventSchema,
    guideEventSchema,
    fleetEventSchema,
  ]);

  async run() {
    const { args, flags } = await this.input(DeviceSimulate);
    const onBuild = () => this.stages()({ text: 'Building the native device' });
    const tell: Tell = (event, at, text) => this.item(event, () => `${dim(timeOfDay(at))}  ${text()}`);
    const other = otherSimulation(args.dir, flags, this.signal, tell, onBuild);
    if (other !== null) return other;
    const { recording, motor, stream, speed, predict, loop, seed, native, program } = flags;
    const options = {
      ...{ recording, motor, stream, speed, predict, loop, seed, native, program },
      ...{ rateHz: flags.rate, forMs: flags.for },
      signal: this.signal,
      onEvent: (event: DeviceEvent) => tell(event, event.t, () => describeEvent(event)),
      onBuild,
    };
    if (native && (flags.count !== undefined || args.dir === undefined)) {
      const { count = 1, context } = flags;
      await simulateNatives({ ...options, count, context, dir: args.dir });
      return;
    }
    await simulateDevice({ ...options, identityDir: requireDir(args.dir) });
  }
}
