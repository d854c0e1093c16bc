import { Flags } from '@oclif/core';
import * as z from 'zod';
import { AiotCommand } from '../../lib/cli/command.js';
import { rolloutId } from '../../lib/cli/flags/rollouts.js';
import { shared } from '../../lib/cli/flags/shared.js';
import { again } from '../../lib/cli/invocation.js';
import { rolloutStatusText } from '../../lib/cli/render/rollout.js';
import { next } from '../../lib/cli/render/text.js';
import { withClient } from '../../lib/registry/context.js';
import {
  rolloutDeviceSchema,
  rolloutDeviceStates,
  rolloutStatusSchema,
} from '../../lib/registry/rollouts/schema.js';

export default class OtaStatus extends AiotCommand {
  static override summary = 'Show how far a rollout is: its waves, and the devices that did not take it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ro_01k2',
    '<%= config.bin %> <%= command.id %> ro_01k2 --state missed --json',
  ];
  static override args = rolloutId;
  static override flags = {
    state: Flags.option({ options: rolloutDeviceStates })({
      summary: 'Devices in this state, instead of those that failed, rolled back or were missed.',
      env: 'AIOT_STATE',
    }),
    context: shared.context,
  };
  static override result = rolloutStatusSchema.extend({ devices: z.array(rolloutDeviceSchema) });

  async run() {
    const input = await this.input(OtaStatus);
    const { args, flags } = input;
    const status = await withClient(flags.context, async (client) => {
      const states = flags.state ? [flags.state] : (['failed', 'rolledBack', 'missed'] as const);
      const devices = await Promise.all(states.map((state) => client.rollouts.devices(args.id, { state })));
      return { ...(await client.rollouts.get(args.id)), devices: devices.flat() };
    });
    this.print(rolloutStatusText(status, status.devices));
    const at = again(input, 'context');
    const then =
      status.state === 'paused' ? `aiot ota resume ${args.id}${at}` : `aiot ota report ${args.id}${at}`;
    this.print(next(then));
    return status;
  }
}
