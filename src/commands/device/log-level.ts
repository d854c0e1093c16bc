import { Args } from '@oclif/core';
import { callDevices, callExit, deviceCalledSchema } from '../../lib/api/call-devices.js';
import { withClient } from '../../lib/api/context.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { calleeOf, selector } from '../../lib/cli/flags/fleet.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { deviceCalledText } from '../../lib/cli/render/fleet.js';
import { AiotError } from '../../lib/core/errors.js';
import { namePattern } from '../../lib/core/names.js';
import { didYouMean } from '../../lib/core/text.js';
import { logLevelMs, logLevels } from '../../lib/device/protocol/control.js';

export default class DeviceLogLevel extends AiotCommand {
  static override summary = 'Set the least severe level that devices log.';
  static override description =
    'A device leaves out lines below its level, which is info after each start. With --for, it returns to info after that time; otherwise, at its next restart. Offline devices, and devices whose firmware has no levels, are rejected. The call is recorded in the audit log, and aiot device show prints the level.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> pump-7 debug --for 10m',
    "<%= config.bin %> <%= command.id %> debug --selector 'type=esp32 and site=lab' --for 1h",
    '<%= config.bin %> <%= command.id %> pump-7 warn --json',
  ];
  static override args = {
    name: Args.string({
      required: true,
      description: 'Device name, or an expression that selects devices; with --selector, the level.',
    }),
    level: Args.string({ description: 'debug, info, warn or error.' }),
  };
  static override flags = {
    selector,
    for: duration({
      ...{ summary: 'Return to info after this time, such as 10m.', env: 'AIOT_FOR' },
      ...logLevelMs,
    }),
    context: shared.context,
  };
  static override result = deviceCalledSchema;

  async run() {
    const { args, flags } = await this.input(DeviceLogLevel);
    const { target, command: level } = calleeOf({ name: args.name, command: args.level }, flags.selector);
    if (!(logLevels as readonly string[]).includes(level))
      throw new AiotError(
        'AIOT_USAGE',
        `expected the level ${logLevels.join(', ')}, got ${level}${didYouMean(level, [...logLevels])}`,
      );
    const whom = 'name' in target && !namePattern.test(target.name) ? { selector: target.name } : target;
    const params = [`level=${level}`, ...(flags.for === undefined ? [] : [`forMs=${flags.for}`])];
    const onProgress = (done: number, total: number) =>
      this.progress().update({ text: 'devices', done, total });
    const result = await withClient(flags.context, (client) =>
      callDevices({
        ...{ client, target: whom, command: 'log-level', params, waits: false },
        ...{ signal: this.signal, onProgress },
      }),
    );
    this.print(deviceCalledText(result));
    const exit = callExit(result);
    if (exit !== undefined) this.exitsWith(exit);
    return result;
  }
}
