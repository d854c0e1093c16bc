import { Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { loopFlags } from '../../lib/cli/flags/projects.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { installedLoopText } from '../../lib/cli/render/loop.js';
import { next } from '../../lib/cli/render/text.js';
import { installedLoopSchema, installLoop } from '../../lib/loop/operate/install.js';

export default class LoopInstall extends AiotCommand {
  static override summary = 'Install the loop as a systemd service that starts at boot.';
  static override description =
    'The service has a watchdog and resource limits. It can access its sensor, and little else on the machine. Settings without a flag come from `loop:` in aiot.yaml.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --project motion --dry-run',
    "<%= config.bin %> <%= command.id %> --sensor 'i2c://1/lsm6ds3tr-c' --model motion@production --out nats://127.0.0.1/output",
    '<%= config.bin %> <%= command.id %> --user dynamic --memory 200M --cpu 50% --listen 127.0.0.1:9099 --unit-dir .',
  ];
  static override flags = {
    project: shared.project,
    ...loopFlags,
    delegate: Flags.option({ options: ['cpu', 'coral'] as const })({
      summary: 'Backend that runs the model [default: cpu].',
      env: 'AIOT_DELEGATE',
    }),
    context: shared.context,
    user: Flags.string({
      summary:
        'User that runs the service; dynamic = a user that systemd creates [default: you, or dynamic for root].',
      env: 'AIOT_USER',
      helpValue: 'NAME',
    }),
    memory: Flags.string({
      summary: 'Memory limit, such as 300M; the loop is restarted when it exceeds the limit.',
      env: 'AIOT_MEMORY',
      default: '300M',
      helpValue: 'SIZE',
    }),
    cpu: Flags.string({
      summary: 'CPU limit, as a share of one core, such as 50%.',
      env: 'AIOT_CPU',
      helpValue: 'PERCENT',
    }),
    'unit-dir': Flags.string({
      summary: 'Folder for the unit file [default: /etc/systemd/system].',
      env: 'AIOT_UNIT_DIR',
      helpValue: 'DIR',
    }),
    'dry-run': shared['dry-run'],
  };
  static override result = installedLoopSchema;

  async run() {
    const { flags } = await this.input(LoopInstall);
    const { 'dry-run': dryRun, 'unit-dir': unitDir, hold: holdMs, ...asked } = flags;
    const installed = await installLoop({ ...asked, holdMs, dryRun, unitDir });
    this.print(installedLoopText(installed));
    this.suggest(next(...installed.start));
    return installed;
  }
}
