import { Flags } from '@oclif/core';
import * as z from 'zod';
import { offlineDevices, offlineDevicesSchema } from '../../lib/api/rollouts/offline.js';
import {
  rolloutDeviceSchema,
  rolloutDeviceStates,
  rolloutStatusSchema,
} from '../../lib/api/rollouts/schema.js';
import { rolloutId } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { PlatformCommand } from '../../lib/cli/platform-command.js';
import { rolloutStatusText } from '../../lib/cli/render/rollout.js';

export default class RolloutShow extends PlatformCommand {
  static override summary = "Show a rollout's waves and failed devices.";
  static override hiddenAliases = ['ota:show', 'ota:status'];
  static override examples = [
    '<%= config.bin %> <%= command.id %> ro_01k2',
    '<%= config.bin %> <%= command.id %> ro_01k2 --state missed --json',
  ];
  static override args = rolloutId;
  static override flags = {
    state: Flags.option({ options: rolloutDeviceStates })({
      summary:
        'List devices in this state, instead of those that failed, rolled back, were missed or crashed.',
      env: 'AIOT_STATE',
    }),
    context: shared.context,
  };
  static override result = rolloutStatusSchema.extend({
    devices: z.array(rolloutDeviceSchema),
    /** Offline devices that the rollout is waiting for; null = none. */
    offline: offlineDevicesSchema.nullable(),
  });

  async run() {
    const input = await this.input(RolloutShow);
    const { id } = input.args;
    const { state } = input.flags;
    return this.ask(
      input,
      async (client) => {
        const { rollouts } = client;
        const states = state ? [state] : (['failed', 'rolledBack', 'missed'] as const);
        const devices = (await Promise.all(states.map((state) => rollouts.devices(id, { state })))).flat();
        const crashed = state ? [] : await rollouts.devices(id, { crashed: true });
        const others = crashed.filter(({ name }) => !devices.some((device) => device.name === name));
        const status = await rollouts.get(id);
        return { ...status, devices: [...devices, ...others], offline: await offlineDevices(client, status) };
      },
      (status) => rolloutStatusText(status, status),
      (status) => [`aiot rollout ${status.state === 'paused' ? 'resume' : 'report'} ${id}`],
    );
  }
}
