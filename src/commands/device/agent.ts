import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { dim, timeOfDay } from '../../lib/cli/render/text.js';
import { agentEventSchema, describeAgentEvent, runAgent } from '../../lib/device/remote/agent.js';

export default class DeviceAgent extends AiotCommand {
  static override summary = 'Let operators reach this computer remotely.';
  static override description =
    'Run it on a Linux device. DEVICE is its identity folder from aiot device provision. The agent connects to the platform and opens no port. It accepts only sessions that --allow names. With --consent, a program on the device must also agree to each session: it receives the session as JSON on stdin, and agrees with exit code 0. Shells run as the user who runs the agent. Press Ctrl-C to stop.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> /etc/aiot/pi-1 --allow shell',
    '<%= config.bin %> <%= command.id %> /etc/aiot/pi-1 --allow forward=80 --allow copy=/var/log --consent /usr/local/bin/ask-shift-lead',
  ];
  static override args = {
    device: Args.string({ required: true, description: 'Identity folder of the device.' }),
  };
  static override flags = {
    allow: Flags.string({
      summary: 'Sessions to accept: shell, forward=PORT, forward=HOST:PORT or copy=FOLDER; repeatable.',
      required: true,
      multiple: true,
      env: 'AIOT_ALLOW',
      helpValue: 'SESSIONS',
    }),
    consent: Flags.string({
      summary: 'Program that must agree to each session.',
      env: 'AIOT_CONSENT',
      helpValue: 'PROGRAM',
    }),
  };
  static override result = agentEventSchema;

  async run() {
    const { args, flags } = await this.input(DeviceAgent);
    await runAgent({
      ...{ identityDir: args.device, allow: flags.allow, consent: flags.consent, signal: this.signal },
      onEvent: (event) => this.item(event, () => `${dim(timeOfDay(event.t))}  ${describeAgentEvent(event)}`),
    });
  }
}
