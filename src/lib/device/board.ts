import * as z from 'zod';
import { checkChipId, checkMac } from '../api/fields.js';
import { AiotError } from '../core/errors.js';
import { type GuideBoardOptions, simulateBoardAtGuide } from './guide/at-platform.js';
import { describeGuideEvent, type GuideEvent, guideEventSchema } from './guide/simulate.js';
import { describeKitEvent, type KitEvent, kitEventSchema, simulateKit } from './kit.js';

/**
 * Boards with their own topics and payloads, which need no device identity. A level 2 board runs a second model on
 * other boards' readings.
 */
export const simulatedBoards = ['iot-kit', 'architects-guide', 'architects-guide-level-2'] as const;

export const boardEventSchema = z.union([kitEventSchema, guideEventSchema]);

type BoardEvent = KitEvent | GuideEvent;

interface SimulateBoardOptions extends Omit<GuideBoardOptions, 'id' | 'role' | 'onEvent'> {
  board: (typeof simulatedBoards)[number];
  /** For the guide: a decimal chip id, default 1. For the IoT kit: a MAC. */
  id?: string | undefined;
  onEvent: (event: BoardEvent) => void;
}

/** @throws AIOT_USAGE (an invalid id, or a native board of the IoT kit), and the errors of the simulation */
export function simulateBoard({ board, id, ...options }: SimulateBoardOptions): Promise<void> {
  if (board !== 'iot-kit') {
    const role = board === 'architects-guide' ? 'level-1' : 'level-2';
    return simulateBoardAtGuide({ ...options, id: checkChipId(id ?? '1'), role });
  }
  if (options.native) {
    throw new AiotError('AIOT_USAGE', '--native: boards of the IoT kit have no native program', {
      next: 'Omit --native, or simulate a board of architects-guide.',
    });
  }
  const mac = id === undefined ? undefined : checkMac(id);
  return simulateKit({ ...options, mac, to: options.to ?? 'mqtt://127.0.0.1:1883' });
}

/** Formats an event as one line for people, without the time. */
export function describeBoardEvent(event: BoardEvent): string {
  // Both kinds of board have events with the same names. The kit's boards are identified by MAC, the guide's by
  // number.
  return event.board.includes(':')
    ? describeKitEvent(event as KitEvent)
    : describeGuideEvent(event as GuideEvent);
}
