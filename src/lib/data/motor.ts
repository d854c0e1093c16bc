import { gaussian, type Random, seededRandom } from '../core/numbers.js';
import type { Recording } from './types.js';

/**
 * Simulates one take of one motor; its ID is the state and the seed (`bearing3`). The same seed yields the same motor and the same samples.
 */
export function simulateMotor(options: {
  state: MotorState;
  seconds: number;
  rateHz: number;
  seed: number;
}): Recording {
  const { state, rateHz, seed } = options;
  const samples = Math.round(options.seconds * rateHz);
  const columns = motorFields.map(() => new Float64Array(samples));
  // Each state has its own random stream, so that healthy 1 and blocked 1 are different motors.
  const random = seededRandom(motorSeed(state, seed));
  const source = motorSamples({ state, rateHz, random });
  for (let i = 0; i < samples; i++) {
    const { value } = source.next();
    for (let f = 0; f < columns.length; f++) columns[f]![i] = value[f]!;
  }
  return {
    id: `${state}${seed}`,
    label: state,
    device: `motor-${state}${seed}`,
    rateHz,
    startedAt: null,
    fields: [...motorFields],
    columns,
  };
}

/** A seed that is different for each state. The first four states keep their earlier seeds, because models have been trained with them. */
function motorSeed(state: MotorState, seed: number): number {
  return state === 'worn' ? 1_000_000 + seed : seed * 4 + motorStates.indexOf(state);
}

/**
 * Number of recordings of each state, and seconds per recording. With this many recordings, both sides of a split have different motors.
 */
const takes = 10;

const seconds = 16;

/** Decimal places per value, which exceed the sensors' resolution. */
export const motorDecimals = 4;

/** Recordings for learning the motor's states: ten motors in each, 16 s each. Deterministic. */
export function motorRecordings(rateHz: number): Recording[] {
  return motorStates.flatMap((state) =>
    Array.from({ length: takes }, (_, i) => {
      const recording = simulateMotor({ state, seconds, rateHz, seed: i + 1 });
      // Rounded as in a CSV file (which has no -0), so that the model is the same whether or not its data was written.
      for (const column of recording.columns)
        column.forEach((value, row) => {
          column[row] = Number(value.toFixed(motorDecimals)) + 0;
        });
      return recording;
    }),
  );
}

interface MotorOptions {
  state: MotorState;
  /** Samples per second; at 170 or more, the sensors can show the bearing's ringing. */
  rateHz: number;
  random: Random;
  /** Ambient temperature of the motor, °C. */
  ambientDegC?: number;
}

/** Draws the parameters of one motor and its location at random, because no two motors are built and mounted in exactly the same way. */
function drawUnit(state: MotorState, random: Random) {
  const between = (low: number, high: number) => low + (high - low) * random();
  type Range = [low: number, high: number];
  const faulty = (of: MotorState, bad: Range, good: Range, worn = good) =>
    between(...(state === of ? bad : state === 'worn' ? worn : good));
  return {
    load: between(0.2, 0.9),
    /** Amplitude at 1× in mm/s, at the speed of a motor at half load. */
    imbalance: faulty('imbalance', [2.6, 5], [0.3, 0.8]),
    /** mm/s per ball impact. */
    pit: faulty('bearing', [1.5, 4], [0, 0.05], [0.3, 0.9]),
    /** Additional current in A, and additional noise in mm/s, because a worn bearing rubs. */
    friction: faulty('bearing', [0.02, 0.06], [0, 0.01], [0, 0.02]),
    roughness: faulty('bearing', [0.25, 0.45], [0.15, 0.3], [0.15, 0.35]),
    /** dB added by the location. */
    place: between(44, 50),
    /** Seconds since the rotor was blocked. */
    blockedFor: between(20, 1800),
    phase: random(),
  };
}

/**
 * Endless samples `[current, temperature, vibration, sound]` of one motor; the same random source yields the same samples.
 *
 * - healthy: Current follows a slowly wandering load. Vibration is a small line at 1× (turns per second) plus noise.
 * - imbalance: The force of an offset mass grows with the square of the speed and shakes at exactly 1×.
 * - bearing: Each ball that passes a pit in the outer race makes the housing ring. This adds friction (a little current), and power at the
 * outer race frequency and the ringing frequency, where a healthy motor has hardly any. At a few hundred samples per second the impacts
 * merge. Kurtosis, which shows single impacts, needs a sensor of some kHz.
 * - worn: Like bearing, with impacts about a fifth of the size: early wear, which is easily missed.
 * - blocked: The slip is 1: the current is the locked-rotor current, and without rotation there is no line at 1×. I²R heating approaches
 * about 80 degC above ambient with the winding's time constant.
 *
 * Current is an RMS value, sound a level with the "fast" time weighting of sound level meters (125 ms, IEC 61672). The vibration sensor's
 * own filter removes everything above half the rate (the hum at twice the mains frequency).
 */
export function* motorSamples(options: MotorOptions): Generator<number[], never> {
  const { state, rateHz, random, ambientDegC = 22 } = options;
  const dt = 1 / rateHz;
  const blocked = state === 'blocked';
  const unit = drawUnit(state, random);
  const warm = endRise(runningCurrent(unit.load));
  const gone = blocked ? 1 - Math.exp(-unit.blockedFor / motor.heat.seconds) : 0;
  const decay = Math.exp(-dt / motor.ring.seconds);
  const turnBack = 2 * decay * Math.cos(2 * Math.PI * motor.ring.hz * dt);
  let temperature = ambientDegC + warm + gone * (endRise(motor.current.blocked) - warm);
  let load = unit.load;
  let turn = unit.phase;
  let ball = unit.phase;
  let [ring, ringBefore] = [0, 0];
  let energy = 0.1;
  for (;;) {
    // The load varies like the pressure ahead of a pump, and returns to its mean with a time constant of 5 s.
    load += (dt / 5) * (unit.load - load) + Math.sqrt(dt) * 0.03 * gaussian(random);
    const shaft = blocked ? 0 : shaftHz(Math.min(1, Math.max(0, load)));
    const current = blocked ? motor.current.blocked : runningCurrent(load) + unit.friction;
    temperature += (dt / motor.heat.seconds) * (ambientDegC + endRise(current) - temperature);

    turn += shaft * dt;
    ball += outerRaceHz(shaft) * dt;
    let hit = 0;
    if (ball >= 1) {
      // Balls slip a little and hit unevenly, so every burst is different.
      ball += 0.02 * gaussian(random) - 1;
      hit = unit.pit * (0.6 + 0.8 * random());
    }
    [ring, ringBefore] = [turnBack * ring - decay * decay * ringBefore + hit, ring];
    const rotor = unit.imbalance * (shaft / shaftHz(0.5)) ** 2 * Math.sin(2 * Math.PI * turn);
    const vibration = rotor + ring + (blocked ? 0.5 : 1) * unit.roughness * gaussian(random);
    energy += (dt / 0.125) * (vibration * vibration - energy);
    const sound = unit.place + 10 * Math.log10(energy + 0.05) + 0.4 * gaussian(random);
    yield [current + 0.008 * gaussian(random), temperature + 0.05 * gaussian(random), vibration, sound];
  }
}

/** States of the motor. `worn` is early wear of the bearing: a pit so small that a model classifies some worn motors as healthy. */
export const motorStates = ['healthy', 'bearing', 'blocked', 'imbalance', 'worn'] as const;

export type MotorState = (typeof motorStates)[number];

/** Fields of the sensors on the motor, in this order: A (RMS), degC, mm/s, dB. */
export const motorFields = ['current', 'temperature', 'vibration', 'sound'] as const;

/**
 * A small shaded-pole motor with four poles on 50 Hz mains, as used in pumps and fans. Round values typical of the type: large slip, low
 * efficiency (10 to 30 %), and a blocked rotor that draws little more than twice the current.
 */
export const motor = {
  mainsHz: 50,
  polePairs: 2,
  /** Share by which the rotor lags behind the field, when idle and at full load. For a blocked rotor, the share is 1. */
  slip: { idle: 0.08, full: 0.16 },
  /** A */
  current: { idle: 0.62, full: 0.82, blocked: 1.65 },
  /** Ohm */
  resistance: 42,
  /** Core losses, W. */
  ironWatts: 9,
  /** Winding and core as one body: steady-state degC above ambient per W, and seconds to reach 63 % of it. */
  heat: { perWatt: 0.65, seconds: 900 },
  /** 608 ball bearing: 7 balls of 3.97 mm on a circle of 15 mm, contact angle 0. */
  bearing: { balls: 7, ballMm: 3.97, pitchMm: 15 },
  /** Ringing of the housing after a ball impact: Hz, and seconds to decay to 37 %. */
  ring: { hz: 80, seconds: 0.012 },
} as const;

/** Shaft turns per second at a load from 0 (idle) to 1: mains / pole pairs · (1 − slip). */
export function shaftHz(load: number): number {
  const slip = motor.slip.idle + (motor.slip.full - motor.slip.idle) * load;
  return (motor.mainsHz / motor.polePairs) * (1 - slip);
}

/** Balls per second that pass a fault in the outer race (BPFO): balls/2 · shaft · (1 − d/D · cos α), as stated by bearing makers. */
export function outerRaceHz(shaft: number): number {
  const { balls, ballMm, pitchMm } = motor.bearing;
  return (balls / 2) * shaft * (1 - ballMm / pitchMm);
}

/** Steady-state degC above ambient at a current (A): thermal resistance · (I²R + iron losses). */
export function endRise(current: number): number {
  return motor.heat.perWatt * (current * current * motor.resistance + motor.ironWatts);
}

/** Current in A at a load from 0 to 1. */
export function runningCurrent(load: number): number {
  return motor.current.idle + (motor.current.full - motor.current.idle) * load;
}
