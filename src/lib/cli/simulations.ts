import type { Interfaces } from '@oclif/core';
import { AiotError } from '../core/index.js';
import {
  describeFleetEvent,
  describeGuideEvent,
  describeKitEvent,
  simulateBoardAtGuide,
  simulateFleet,
  simulateKit,
} from '../device/index.js';
import { describeChipEvent, simulateChip } from '../flash/rom/simulate.js';
import { type chipFlags, simulatedChip } from './chip-flags.js';
import { type fleetSimulationFlags, simulatedFleet } from './fleet-simulation-flags.js';
import type { kitFlags } from './kit-flags.js';
import type { sensorFlags } from './sensor-flags.js';

type Flags = Interfaces.InferredFlags<
  typeof chipFlags & typeof fleetSimulationFlags & typeof kitFlags & typeof sensorFlags
> & { seed: number; for?: number | undefined; context?: string | undefined };

/** Shows one event; `text` is for people, without the time. */
export type Tell = (event: object, at: number, text: () => string) => void;

/** Whatever is simulated that is no device with an identity: a chip, a board of a kit, a fleet. Null = nothing of these. */
export function otherSimulation(
  dir: string | undefined,
  flags: Flags,
  signal: AbortSignal,
  tell: Tell,
  onBuild: () => void,
): Promise<void> | null {
  const teller =
    <E extends { t: number }>(describe: (event: E) => string) =>
    (event: E) =>
      tell(event, event.t, () => describe(event));
  if (flags.serial) {
    const onEvent: Parameters<typeof simulateChip>[0]['onEvent'] = (event) =>
      tell(event, Date.now(), () => describeChipEvent(event));
    return simulateChip({ ...simulatedChip(dir, flags), signal, onEvent });
  }
  const { board, to, count, rate: rateHz, for: forMs, seed, context, motor, role, native, program } = flags;
  const common = { count, rateHz, forMs, seed, signal };
  if (board === 'iot-kit') {
    if (native)
      throw new AiotError('AIOT_USAGE', '--native: a board of the IoT kit has no program of its own', {
        next: 'Leave --native out, or be a board of architects-guide.',
      });
    const onEvent = teller(describeKitEvent);
    return simulateKit({ ...common, to: to ?? 'mqtt://127.0.0.1:1883', onEvent });
  }
  if (board) {
    const onEvent = teller(describeGuideEvent);
    const id = flags['chip-id'] ?? '1';
    const own = { native, program, onBuild };
    return simulateBoardAtGuide({ ...common, id, role, to, context, motor, onEvent, ...own });
  }
  if (count === undefined || flags.native || dir !== undefined) return null;
  return simulateFleet({ ...simulatedFleet(flags), signal, onEvent: teller(describeFleetEvent) });
}
