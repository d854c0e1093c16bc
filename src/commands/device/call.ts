import { Args, Flags } from '@oclif/core';
import { callDevices, callExit, deviceCalledSchema } from '../../lib/api/call-devices.js';
import { withClient } from '../../lib/api/context.js';
import { commandTimeoutMs } from '../../lib/api/contract/commands.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { calleeOf, selector } from '../../lib/cli/flags/fleet.js';
import { duration, shared } from '../../lib/cli/flags/shared.js';
import { deviceCalledText } from '../../lib/cli/render/fleet.js';

export default class DeviceCall extends AiotCommand {
  static override summary = 'Call a command of one or more devices.';
  static override description =
    "ping reads a device's clock, status shows its versions and memory, and reboot restarts it. crash makes a virtual device crash, so that you can try out crash reports; boards reject it. A project can define further commands for a type of devices, under commands: in aiot.yaml. Offline devices are rejected, unless you pass --wait. The platform checks the parameters and the reply, and records each call in the audit log.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> bench-1 reboot --json',
    '<%= config.bin %> <%= command.id %> pump-7 set-speed --param rpm=900',
    "<%= config.bin %> <%= command.id %> set-speed --selector 'type=pump and site=lab' --param rpm=900 --wait --timeout 5m",
  ];
  static override args = {
    name: Args.string({ required: true, description: 'Device name; with --selector, the command.' }),
    command: Args.string({ description: 'Command, such as ping.' }),
  };
  static override flags = {
    selector,
    param: Flags.string({
      summary: 'Parameter: its name and its value, which is JSON or text; repeatable.',
      multiple: true,
      env: 'AIOT_PARAM',
      helpValue: 'NAME=VALUE',
    }),
    wait: Flags.boolean({ summary: 'Wait for offline devices until the timeout.', env: 'AIOT_WAIT' }),
    timeout: duration({
      ...{
        summary: "Maximum time to wait for the reply [default: the command's timeout].",
        env: 'AIOT_TIMEOUT',
      },
      ...{ min: commandTimeoutMs.min, max: commandTimeoutMs.max },
    }),
    context: shared.context,
  };
  static override result = deviceCalledSchema;

  async run() {
    const { args, flags } = await this.input(DeviceCall);
    const { param: params = [], timeout: timeoutMs, wait: waits = false } = flags;
    const whom = calleeOf(args, flags.selector);
    const onProgress = (done: number, total: number) =>
      this.progress().update({ text: 'devices', done, total });
    const result = await withClient(flags.context, (client) =>
      callDevices({ client, ...whom, params, timeoutMs, waits, signal: this.signal, onProgress }),
    );
    this.print(deviceCalledText(result));
    const exit = callExit(result);
    if (exit !== undefined) this.exitsWith(exit);
    return result;
  }
}
