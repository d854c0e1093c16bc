import { gaussian, type Random, seededRandom } from '../core/numbers.js';
import type { Recording } from './types.js';

/** One take of one simulated motor, its id STATE and SEED (`bearing3`). The same seed gives the same motor and the same samples. */
export function simulateMotor(options: {
  state: MotorState;
  seconds: number;
  rateHz: number;
  seed: number;
}): Recording {
  const { state, rateHz, seed } = options;
  const samples = Math.round(options.seconds * rateHz);
  const columns = motorFields.map(() => new Float64Array(samples));
  // A state of its own stream of chance: healthy 1 and blocked 1 are not the same motor.
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

/** A seed that no other state has. Takes of the first four states keep theirs: models in the field were made from them. */
function motorSeed(state: MotorState, seed: number): number {
  return state === 'worn' ? 1_000_000 + seed : seed * 4 + motorStates.indexOf(state);
}

/** Takes of each state, and seconds of each take: enough that each side of a split has motors that the others have not. */
const takes = 10;

const seconds = 16;

/** Digits after the point that are kept of a value: more than its sensor has. */
export const motorDecimals = 4;

/** Recordings to learn the motor's states from: ten motors in each, 16 s each. The same ones each time. */
export function motorRecordings(rateHz: number): Recording[] {
  return motorStates.flatMap((state) =>
    Array.from({ length: takes }, (_, i) => {
      const recording = simulateMotor({ state, seconds, rateHz, seed: i + 1 });
      // As they come back from a CSV file (which has no -0): a model is the same, whether its data was written or not.
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
  /** Samples a second; from 170 on the sensors can show the bearing's ringing. */
  rateHz: number;
  random: Random;
  /** degC around the motor. */
  ambientDegC?: number;
}

/** One motor and the place it stands in: no two are built and mounted alike. */
function drawUnit(state: MotorState, random: Random) {
  const between = (low: number, high: number) => low + (high - low) * random();
  type Range = [low: number, high: number];
  const faulty = (of: MotorState, bad: Range, good: Range, worn = good) =>
    between(...(state === of ? bad : state === 'worn' ? worn : good));
  return {
    load: between(0.2, 0.9),
    /** mm/s at 1×, the speed of a healthy motor. */
    imbalance: faulty('imbalance', [2.6, 5], [0.3, 0.8]),
    /** mm/s of a ball's hit. */
    pit: faulty('bearing', [1.5, 4], [0, 0.05], [0.3, 0.9]),
    /** A more, and mm/s more noise: a worn bearing rubs. */
    friction: faulty('bearing', [0.02, 0.06], [0, 0.01], [0, 0.02]),
    roughness: faulty('bearing', [0.25, 0.45], [0.15, 0.3], [0.15, 0.35]),
    /** dB that the place adds. */
    place: between(44, 50),
    /** Seconds since the rotor was blocked. */
    blockedFor: between(20, 1800),
    phase: random(),
  };
}

/**
 * Endless samples `[current, temperature, vibration, sound]` of one motor; the same chance gives the same samples.
 *
 * - healthy: current follows a slowly wandering load; vibration is a small line at 1× (turns a second) and noise.
 * - imbalance: the force of an offset mass grows with the square of the speed and shakes at exactly 1×.
 * - bearing: each ball that passes a pit of the outer race makes the housing ring: power at the outer race frequency and at
 *   the ringing's, where a healthy motor has hardly any, and friction (a little current). At some hundred samples a second
 *   the hits run into each other: kurtosis, which shows single impacts, asks for a sensor of some kHz.
 * - worn: the same with hits of a fifth the size and less: early wear, which is easily missed.
 * - blocked: slip 1, so locked-rotor current and no turning (no 1×), and heat by I²R with the winding's time constant
 *   towards about 80 degC above ambient.
 *
 * Current is an RMS value, sound a level with the "fast" time weighting of sound level meters (125 ms, IEC 61672); the
 * vibration sensor's own filter keeps what lies above half the rate (the hum at twice the mains) away.
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
    // As the pressure before a pump does: about 5 s to come back from a push.
    load += (dt / 5) * (unit.load - load) + Math.sqrt(dt) * 0.03 * gaussian(random);
    const shaft = blocked ? 0 : shaftHz(Math.min(1, Math.max(0, load)));
    const current = blocked ? motor.current.blocked : runningCurrent(load) + unit.friction;
    temperature += (dt / motor.heat.seconds) * (ambientDegC + endRise(current) - temperature);

    turn += shaft * dt;
    ball += outerRaceHz(shaft) * dt;
    let hit = 0;
    if (ball >= 1) {
      // Balls slip a little and hit unevenly: no two bursts are alike.
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

/** States of the motor. `worn` is early wear of the bearing: a pit so small that a model takes some worn motors for healthy ones. */
export const motorStates = ['healthy', 'bearing', 'blocked', 'imbalance', 'worn'] as const;

export type MotorState = (typeof motorStates)[number];

/** Fields of the sensors on the motor, in this order: A (RMS), degC, mm/s, dB. */
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
