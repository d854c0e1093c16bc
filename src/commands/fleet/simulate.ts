import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { networkFlags, networkOf, share } from '../../lib/cli/flags/fleet.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { dim, timeOfDay } from '../../lib/cli/render/text.js';
import { parseClock, parseShare } from '../../lib/device/fleet/network.js';
import {
  describeFleetEvent,
  fleetEventSchema,
  simulateFleet,
  usualTemplate,
} from '../../lib/device/fleet/simulate.js';

export default class FleetSimulate extends AiotCommand {
  static override summary = 'Simulate a fleet of devices on the current platform.';
  static override description =
    'Each device has its own connection, credentials and update state machine; all run in one process. The devices have no sensors. They receive models, firmware and configurations through rollouts. Select them with simulated=yes. For more, run aiot docs simulation. Press Ctrl-C to stop.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --count 3',
    '<%= config.bin %> <%= command.id %> --count 10000 --type esp32 --fail-rate 2% --for 60s --json',
    '<%= config.bin %> <%= command.id %> --count 100 --clock x60 --faults faults.json --clean-up',
  ];
  static override flags = {
    count: Flags.integer({
      char: 'n',
      summary: 'Number of devices.',
      min: 1,
      default: 10,
      env: 'AIOT_COUNT',
      helpValue: 'N',
    }),
    type: Flags.string({ summary: 'Device type.', default: 'virtual', env: 'AIOT_TYPE' }),
    template: Flags.string({
      char: 't',
      summary:
        "Pattern for names and tags, such as press-####,site=lab; each device's number replaces the #s.",
      default: usualTemplate,
      env: 'AIOT_TEMPLATE',
      helpValue: 'PATTERN',
    }),
    mtls: share('mtls', 'Share of devices with a certificate; the others have secrets.', '0%'),
    ...networkFlags({ loss: '0%', latency: '0ms', offline: '0%' }),
    faults: Flags.string({
      summary:
        'JSON file that sets the fault of each faulty device: golden (test vectors fail), download, silent, power, offline, battery or crash.',
      env: 'AIOT_FAULTS',
      helpValue: 'FILE',
    }),
    clock: Flags.string({
      summary: 'Speed of simulated time, such as x60; applies to latency, offline periods and waits.',
      default: 'x1',
      env: 'AIOT_CLOCK',
      helpValue: 'FACTOR',
    }),
    download: Flags.option({ options: ['once', 'all'] as const })({
      summary: 'Whether each blob is downloaded once for all devices (once), or by each device (all).',
      default: 'once',
      env: 'AIOT_DOWNLOAD',
    }),
    'clean-up': Flags.boolean({
      summary: 'Revoke and remove the devices at the end.',
      env: 'AIOT_CLEAN_UP',
    }),
    for: duration({ summary: 'Stop after this time, such as 30s.', env: 'AIOT_FOR' }),
    seed: Flags.integer({
      summary: 'Random seed; the same seed makes the same devices fail.',
      min: 0,
      default: 7,
      env: 'AIOT_SEED',
      helpValue: 'N',
    }),
    context: shared.context,
  };
  static override result = fleetEventSchema;

  async run() {
    const { flags } = await this.input(FleetSimulate);
    const { count, type, template, faults, download, context } = flags;
    await simulateFleet({
      count,
      type,
      template,
      faults,
      download,
      context,
      network: networkOf(flags),
      clock: parseClock(flags.clock),
      mutual: parseShare('mtls', flags.mtls),
      cleanUp: flags['clean-up'],
      forMs: flags.for,
      signal: this.signal,
      onEvent: (event) => this.item(event, () => `${dim(timeOfDay(event.t))}  ${describeFleetEvent(event)}`),
    });
  }
}
