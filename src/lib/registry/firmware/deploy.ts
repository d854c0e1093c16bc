import type { Rollout } from '../api.js';
import { type DeployOptions, followRollout } from '../deploy.js';

export interface DeployFirmwareOptions extends Omit<DeployOptions, 'model' | 'signingKey' | 'now'> {
  firmware: { name: string; version: number };
}

/**
 * A rollout of firmware in one wave that is waited for. A device takes no sequence that is not above the one it has, so an older version has to be
 * pushed again. @returns the rollout when each device has ended, well or not
 * @throws AIOT_NOT_FOUND, AIOT_ROLLOUT_EMPTY, AIOT_SELECTOR_INVALID, AIOT_INTERRUPTED
 */
export async function deployFirmware(options: DeployFirmwareOptions): Promise<Rollout> {
  const { client, firmware, selector, deadlineMs, signal } = options;
  const { name, version, sequence } = await client.firmware.get(firmware.name, firmware.version);
  signal?.throwIfAborted();
  const rollout = await client.rollouts.start({
    kind: 'firmware',
    model: { name, version },
    ...{ sequence, selector },
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
  });
  return await followRollout(rollout, options);
}
