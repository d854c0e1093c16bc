import { gaussian, type Random } from '../../core/index.js';
import { endRise, type MotorState, motor, outerRaceHz, runningCurrent, shaftHz } from './physics.js';

export interface MotorOptions {
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
