/** States of the motor. `worn` is early wear of the bearing: a pit so small that a model takes some worn motors for healthy ones. */
export const motorStates = ['healthy', 'bearing', 'blocked', 'imbalance', 'worn'] as const;
export type MotorState = (typeof motorStates)[number];

/** What the sensors on the motor say, in this order: A (RMS), degC, mm/s, dB. */
export const motorFields = ['current', 'temperature', 'vibration', 'sound'] as const;

/**
 * A small shaded-pole motor with four poles on 50 Hz mains, as it drives a pump or a fan. Round figures for the type: large
 * slip, low efficiency (10 to 30 %), and a blocked rotor that draws little more than twice the current.
 */
export const motor = {
  mainsHz: 50,
  polePairs: 2,
  /** Share by which the rotor lags the field: idle, and at full load. A blocked rotor's is 1. */
  slip: { idle: 0.08, full: 0.16 },
  /** A */
  current: { idle: 0.62, full: 0.82, blocked: 1.65 },
  /** Ohm */
  resistance: 42,
  /** Losses in the core, W. */
  ironWatts: 9,
  /** Winding and core taken as one body: degC above ambient per W at last, and seconds to 63 % of it. */
  heat: { perWatt: 0.65, seconds: 900 },
  /** 608 ball bearing: 7 balls of 3.97 mm on a circle of 15 mm, contact angle 0. */
  bearing: { balls: 7, ballMm: 3.97, pitchMm: 15 },
  /** What a ball's hit makes the housing do: Hz, and seconds to 37 %. */
  ring: { hz: 80, seconds: 0.012 },
} as const;

/** Turns of the shaft a second, at a load from 0 (idle) to 1: mains / pole pairs · (1 − slip). */
export function shaftHz(load: number): number {
  const slip = motor.slip.idle + (motor.slip.full - motor.slip.idle) * load;
  return (motor.mainsHz / motor.polePairs) * (1 - slip);
}

/** Balls that pass a fault of the outer race a second (BPFO): balls/2 · shaft · (1 − d/D · cos α), as bearing makers give it. */
export function outerRaceHz(shaft: number): number {
  const { balls, ballMm, pitchMm } = motor.bearing;
  return (balls / 2) * shaft * (1 - ballMm / pitchMm);
}

/** degC above ambient that a current (A) leads to at last: thermal resistance · (I²R + iron losses). */
export function endRise(current: number): number {
  return motor.heat.perWatt * (current * current * motor.resistance + motor.ironWatts);
}

/** A, at a load from 0 to 1. */
export function runningCurrent(load: number): number {
  return motor.current.idle + (motor.current.full - motor.current.idle) * load;
}
