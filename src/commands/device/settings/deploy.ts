import { Args, Flags } from '@oclif/core';
import * as z from 'zod';
import { deploySettings } from '../../../lib/api/change-devices.js';
import { rolloutExit } from '../../../lib/api/rollouts/deploy.js';
import { rolloutPlanSchema, rolloutSchema } from '../../../lib/api/rollouts/schema.js';
import { selectorTexts, settingsIn } from '../../../lib/cli/flags/fleet.js';
import { policyOf, waveFlags } from '../../../lib/cli/flags/rollouts.js';
import { shared } from '../../../lib/cli/flags/shared.js';
import { offlineNote, rolloutNews } from '../../../lib/cli/live/rollout-news.js';
import { PlatformCommand } from '../../../lib/cli/platform-command.js';
import { planText, rolloutText } from '../../../lib/cli/render/rollout.js';

export default class DeviceSettingsDeploy extends PlatformCommand {
  static override summary = 'Roll out settings to devices in waves.';
  static override description =
    'Starts a rollout that changes the overrides of each device, like aiot device settings set. A device commits when it reports the new values, and fails if it rejects them. It then gets its former values back. With --on-failure rollback, all devices do if too many fail. Devices whose settings a user changes meanwhile keep them. The commands under aiot rollout show, pause and abort the rollout. With --wait, exits with 0 if all devices succeeded, 3 if some did, 1 if none did, and 6 if the rollout was stopped.';
  static override usage = 'device settings deploy SETTING=VALUE… SETTING-… --selector SELECTOR';
  static override examples = [
    '<%= config.bin %> <%= command.id %> rpm=900 --selector site=lab --waves 1,10%,100% --soak 10m --wait',
    '<%= config.bin %> <%= command.id %> report.everyS=10 rpm- --selector all --on-failure rollback --json',
    '<%= config.bin %> <%= command.id %> rpm=900 --selector group=lab --dry-run',
  ];
  static override strict = false;
  static override args = {
    settings: Args.string({ description: 'Any number of SETTING=VALUE, or SETTING- to remove an override.' }),
  };
  static override flags = {
    selector: Flags.string({ ...selectorTexts, required: true }),
    type: Flags.string({
      summary: 'Type of the devices [default: the only type with settings].',
      env: 'AIOT_TYPE',
      helpValue: 'TYPE',
    }),
    ...waveFlags,
    'on-failure': Flags.option({ options: ['pause', 'rollback'] as const })({
      summary:
        'Action when a limit is exceeded: start no further devices, or also restore the former settings of all devices [default: pause].',
      env: 'AIOT_ON_FAILURE',
      helpGroup: 'WAVES',
    }),
    'dry-run': shared['dry-run'],
    wait: Flags.boolean({ summary: 'Wait until the rollout ends or is stopped.', env: 'AIOT_WAIT' }),
    context: shared.context,
  };
  static override result = z.union([rolloutSchema, rolloutPlanSchema]);

  async run() {
    const input = await this.input(DeviceSettingsDeploy);
    const { selector, type, wait: waits, 'dry-run': dryRun } = input.flags;
    const [told, newsOf] = [this.stages(), rolloutNews()];
    const deployed = await this.ask(
      input,
      (client) =>
        deploySettings({
          ...{ client, type, selector, policy: policyOf(input.flags), waits, dryRun, signal: this.signal },
          ...settingsIn(input.words),
          onProgress: ({ rollout }) => told(newsOf(rollout)),
          onWarning: (warning) => this.caution(warning),
          onOffline: (devices, rollout) => this.note(offlineNote(devices, rollout)),
        }),
      (result) => ('spec' in result ? planText(result) : rolloutText(result)),
      (result) => {
        if ('spec' in result) return [];
        return [...(waits ? [] : [`aiot rollout watch ${result.id}`]), `aiot rollout show ${result.id}`];
      },
    );
    const code = waits && 'id' in deployed ? rolloutExit(deployed) : 0;
    if (code !== 0) this.exitsWith(code);
    return deployed;
  }
}
