import { motorFields, motorStates, simulateMotor } from '../../../src/lib/data/motor.js';
import type { Recording, Split } from '../../../src/lib/data/types.js';
import { createDraw, type Draw, stepped, wander } from './draw.js';

/** Recordings without defects, divided into train and test like a dataset's folder. */
export interface RecordingSet {
  name: string;
  rateHz: number;
  fields: string[];
  recordings: Recording[];
  split: Split;
  /** Kinds of findings that are correct for this set, such as a constant field. */
  accepted: string[];
}

/** One recording before it gets an id and a rate. */
type Take = Pick<Recording, 'label' | 'device' | 'startedAt'> & { columns: number[][] };

type Vector = [number, number, number];

interface Family {
  rateHz: number;
  fields: string[];
  accepted?: string[];
  takes(draw: Draw): Take[];
}

const days = (count: number) => Date.UTC(2026, 2, 2) + count * 86_400_000;

/** Start of a take, on a day of the campaign and minutes apart from the day's other takes. */
function startOf(draw: Draw, index: number): number {
  return days(index % 3) + 8 * 3_600_000 + Math.floor(index / 3) * 420_000 + draw.whole(0, 120_000);
}

/** A rotation by random angles of up to `most` radians about each axis. */
function mounting(draw: Draw, most: number): Vector[] {
  const [a, b, c] = [draw.between(-most, most), draw.between(-most, most), draw.between(-most, most)];
  const [ca, sa, cb, sb, cc, sc] = [
    Math.cos(a),
    Math.sin(a),
    Math.cos(b),
    Math.sin(b),
    Math.cos(c),
    Math.sin(c),
  ];
  return [
    [cb * cc, sa * sb * cc - ca * sc, ca * sb * cc + sa * sc],
    [cb * sc, sa * sb * sc + ca * cc, ca * sb * sc - sa * cc],
    [-sb, sa * cb, ca * cb],
  ];
}

function rotated(rows: Vector[], [x, y, z]: Vector): Vector {
  return rows.map(([a, b, c]) => a * x + b * y + c * z) as Vector;
}

function normalized([x, y, z]: Vector): Vector {
  const length = Math.hypot(x, y, z);
  return [x / length, y / length, z / length];
}

const columnsOf = (rows: number[][]): number[][] => rows[0]!.map((_, f) => rows.map((row) => row[f]!));

interface Gait {
  /** Steps per second; 0 = at rest. */
  hz: number;
  /** Amplitude of the vertical first harmonic, g. */
  strength: number;
}

/** Acceleration of a moving person, g: posture, steps with harmonics that couple into all axes, slow sway and sensor noise. */
function motion(
  draw: Draw,
  options: { samples: number; rateHz: number; gravity: Vector; gait: Gait; mount: Vector[]; noise: number },
): number[][] {
  const { samples, rateHz, gravity, gait, mount, noise } = options;
  const sway = [0, 1, 2].map(() => wander(draw, 3 * rateHz));
  const pace = wander(draw, 2 * rateHz);
  const push = wander(draw, 2 * rateHz);
  const swing = draw.between(0.02, 0.04);
  const twist = [0, 1, 2].map(() => draw.normal(0, 0.25));
  let phase = draw.between(0, 2 * Math.PI);
  const rows: number[][] = [];
  for (let i = 0; i < samples; i++) {
    phase += (2 * Math.PI * gait.hz * (1 + 0.03 * pace())) / rateHz;
    const size = gait.strength * (1 + 0.12 * push());
    const up = size * (Math.sin(phase) + 0.45 * Math.sin(2 * phase + 0.7) + 0.15 * Math.sin(4 * phase + 1.9));
    const ahead = size * (0.55 * Math.sin(phase + 1.1 + twist[0]!) + 0.25 * Math.sin(2 * phase + 2.2));
    const side = size * (0.4 * Math.sin(phase / 2 + 0.3 + twist[1]!) + 0.1 * Math.sin(phase + twist[2]!));
    const body: Vector = [
      gravity[0] + up * gravity[0] + ahead * gravity[1] + swing * sway[0]!(),
      gravity[1] + up * gravity[1] - ahead * gravity[0] + 0.5 * side * gravity[2] + swing * sway[1]!(),
      gravity[2] + up * gravity[2] + side * (1 - Math.abs(gravity[2])) + 0.4 * ahead + swing * sway[2]!(),
    ];
    rows.push(rotated(mount, body).map((value) => stepped(value + draw.normal(0, noise), 0.0005)));
  }
  return columnsOf(rows);
}

/** Activities of several people with a sensor on the wrist. */
const wrist: Family = {
  rateHz: 50,
  fields: ['ax', 'ay', 'az'],
  takes(draw) {
    const activities: Record<string, { gravity: Vector; hz: number; strength: number }> = {
      sitting: { gravity: [0.15, 0.35, 0.92], hz: 0, strength: 0 },
      standing: { gravity: [-0.96, 0.2, 0.18], hz: 0, strength: 0 },
      walking: { gravity: [-0.93, 0.3, 0.2], hz: 1.85, strength: 0.28 },
      running: { gravity: [-0.45, 0.75, 0.48], hz: 2.7, strength: 1.1 },
    };
    const names = draw.chance(0.5) ? Object.keys(activities) : ['sitting', 'walking', 'running'];
    const people = Array.from({ length: draw.whole(4, 6) }, (_, p) => ({
      device: `person${p + 1}`,
      mount: mounting(draw, 0.22),
      pace: draw.around(1, 0.06),
      vigour: draw.around(1, 0.15),
    }));
    let index = 0;
    return people.flatMap(({ device, mount, pace, vigour }) =>
      names.flatMap((label) =>
        Array.from({ length: label === 'walking' ? 3 : draw.whole(1, 2) }, (): Take => {
          const { gravity, hz, strength } = activities[label]!;
          const posture = normalized(gravity.map((g) => g + draw.normal(0, 0.06)) as Vector);
          return {
            label,
            device,
            startedAt: startOf(draw, index++),
            columns: motion(draw, {
              samples: draw.whole(550, 900),
              rateHz: 50,
              gravity: posture,
              gait: {
                hz: hz * pace * draw.around(1, 0.03),
                strength: strength * vigour * draw.around(1, 0.1),
              },
              mount,
              noise: 0.008,
            }),
          };
        }),
      ),
    );
  },
};

/** A phone in pockets and bags; every recording has a different orientation. */
const pocket: Family = {
  rateHz: 50,
  fields: ['x', 'y', 'z'],
  takes(draw) {
    const ways: Record<string, { hz: number; strength: number; rumble: number }> = {
      still: { hz: 0, strength: 0, rumble: 0.004 },
      walking: { hz: 1.9, strength: 0.25, rumble: 0.02 },
      bus: { hz: 0, strength: 0, rumble: 0.06 },
    };
    return Object.entries(ways).flatMap(([label, { hz, strength, rumble }]) =>
      Array.from({ length: draw.whole(7, 10) }, (): Take => {
        const gravity = normalized([draw.normal(), draw.normal(), draw.normal()]);
        return {
          label,
          device: null,
          startedAt: null,
          columns: motion(draw, {
            samples: draw.whole(500, 700),
            rateHz: 50,
            gravity,
            gait: { hz: hz * draw.around(1, 0.07), strength: strength * draw.around(1, 0.2) },
            mount: mounting(draw, 0.1),
            noise: rumble * draw.around(1, 0.25),
          }),
        };
      }),
    );
  },
};

/** Hand tools with an accelerometer in g and a gyroscope in deg/s, with vibration and slow turns of the hand. */
const tools: Family = {
  rateHz: 100,
  fields: ['acc_x', 'acc_y', 'acc_z', 'gyr_x', 'gyr_y', 'gyr_z'],
  takes(draw) {
    const kinds: Record<
      string,
      { gravity: Vector; hz: number; shake: number; stroke: number; turn: number }
    > = {
      idle: { gravity: [0.05, 0.1, 0.99], hz: 0, shake: 0, stroke: 0, turn: 1.5 },
      drilling: { gravity: [0.6, 0.1, 0.78], hz: 31, shake: 0.35, stroke: 0, turn: 12 },
      sawing: { gravity: [0.15, -0.7, 0.7], hz: 0, shake: 0, stroke: 0.7, turn: 35 },
    };
    const tilt = Array.from({ length: 4 }, () => mounting(draw, 0.15));
    let index = 0;
    return Object.entries(kinds).flatMap(([label, kind]) =>
      Array.from({ length: draw.whole(8, 11) }, (_, k): Take => {
        const mount = tilt[k % 4]!;
        const posture = normalized(kind.gravity.map((g) => g + draw.normal(0, 0.05)) as Vector);
        const hz = kind.hz * draw.around(1, 0.05);
        const strokes = 1.6 * draw.around(1, 0.08);
        const shake = kind.shake * draw.around(1, 0.15);
        const stroke = kind.stroke * draw.around(1, 0.12);
        const gain = [1, 0.5, 0.3].map((g) => g * draw.around(1, 0.1));
        const turns = [0, 1, 2].map(() => wander(draw, 40));
        const hand = [0, 1, 2].map(() => wander(draw, 60));
        const bias = [0, 1, 2].map(() => draw.normal(0, 0.4));
        const load = wander(draw, 150);
        let [phase, cut] = [draw.between(0, 6), draw.between(0, 6)];
        const rows = Array.from({ length: draw.whole(800, 1100) }, () => {
          phase += (2 * Math.PI * hz * (1 + 0.01 * load())) / 100;
          cut += (2 * Math.PI * strokes * (1 + 0.03 * load())) / 100;
          const pull = stroke * Math.sin(cut) + 0.2 * stroke * Math.sin(3 * cut + 0.5);
          const body: Vector = [
            posture[0] + shake * gain[0]! * Math.sin(phase) + pull + 0.01 * hand[0]!(),
            posture[1] + shake * gain[1]! * Math.sin(phase + 1.2) + 0.35 * pull + 0.01 * hand[1]!(),
            posture[2] + shake * gain[2]! * Math.sin(2 * phase + 0.4) - 0.2 * pull + 0.01 * hand[2]!(),
          ];
          const acc = rotated(mount, body).map((value) => stepped(value + draw.normal(0, 0.006), 0.000244));
          const arm = (kind.stroke > 0 ? 60 : 0) * Math.cos(cut);
          const spin: Vector = [
            kind.turn * 0.5 * turns[0]!() + 0.3 * arm,
            kind.turn * turns[1]!() * 0.4 + arm,
            kind.turn * turns[2]!() * 0.6 - 0.2 * arm,
          ];
          const gyr = rotated(mount, spin).map((value, f) =>
            stepped(value + bias[f]! + draw.normal(0, 0.3), 0.0625),
          );
          return [...acc, ...gyr];
        });
        return {
          label,
          device: `tool${(k % 4) + 1}`,
          startedAt: startOf(draw, index++),
          columns: columnsOf(rows),
        };
      }),
    );
  },
};

/** Motors of one type with different loads and mounts, with three axes of vibration in m/s² and the housing's temperature. */
const vibration: Family = {
  rateHz: 200,
  fields: ['vib_x', 'vib_y', 'vib_z', 'temperature'],
  takes(draw) {
    const motors = Array.from({ length: draw.whole(4, 6) }, (_, m) => ({
      device: `motor${m + 1}`,
      turn: draw.between(23.8, 24.9),
      path: [1, 0.6, 0.35].map((g) => g * draw.around(1, 0.12)),
      warm: draw.between(38, 52),
    }));
    let index = 0;
    return motors.flatMap(({ device, turn, path, warm }) =>
      ['healthy', 'imbalance', 'bearing'].flatMap((label) =>
        Array.from({ length: draw.whole(2, 3) }, (): Take => {
          const once = (label === 'imbalance' ? 4.5 : 0.8) * draw.around(1, 0.18);
          const ball = label === 'bearing' ? 2.6 * draw.around(1, 0.18) : 0;
          const rough = (label === 'bearing' ? 0.5 : 0.25) * draw.around(1, 0.12);
          const slip = wander(draw, 400);
          const level = wander(draw, 300);
          const heat = wander(draw, 4000);
          const start = warm + draw.normal(0, 2);
          let [phase, race] = [draw.between(0, 6), draw.between(0, 6)];
          const rows = Array.from({ length: draw.whole(1200, 1700) }, (_, i) => {
            const speed = turn * (1 + 0.004 * slip());
            phase += (2 * Math.PI * speed) / 200;
            race += (2 * Math.PI * speed * 3.06) / 200;
            const gain = 1 + 0.1 * level();
            const shake = once * gain;
            const hit = ball * gain * (0.6 + 0.4 * Math.sin(phase));
            return [
              stepped(
                path[0]! * (shake * Math.sin(phase) + hit * Math.sin(race)) + draw.normal(0, rough),
                0.001,
              ),
              stepped(
                path[1]! * (shake * Math.sin(phase + 1.4) + hit * Math.sin(race + 0.8)) +
                  draw.normal(0, rough),
                0.001,
              ),
              stepped(
                path[2]! * (0.5 * shake * Math.sin(2 * phase) + hit * Math.sin(race + 2)) +
                  draw.normal(0, rough),
                0.001,
              ),
              stepped(start + 0.0002 * i + 0.15 * heat(), 0.0625),
            ];
          });
          return { label, device, startedAt: startOf(draw, index++), columns: columnsOf(rows) };
        }),
      ),
    );
  },
};

/** Rooms with and without people, one sample per minute; one of the rooms is cooler. */
const rooms: Family = {
  rateHz: 1 / 60,
  fields: ['temperature', 'humidity', 'co2'],
  takes(draw) {
    const places = Array.from({ length: draw.whole(4, 6) }, (_, r) => ({
      device: `room${r + 1}`,
      warm: r === 0 ? draw.between(16.5, 18.5) : draw.between(20.5, 23.5),
      wet: draw.between(36, 52),
      size: draw.around(1, 0.2),
    }));
    let index = 0;
    return places.flatMap(({ device, warm, wet, size }) =>
      ['empty', 'meeting', 'airing'].flatMap((label) =>
        Array.from({ length: draw.whole(2, 3) }, (): Take => {
          const outdoors = draw.normal(12, 3);
          const daylight = [wander(draw, 90), wander(draw, 90), wander(draw, 40)];
          let [t, h, c] = [warm + draw.normal(0, 0.4), wet + draw.normal(0, 3), 430 + draw.around(40, 0.5)];
          const people = label === 'meeting' ? draw.whole(3, 8) : 0;
          const rows = Array.from({ length: draw.whole(120, 200) }, () => {
            if (people > 0) {
              t += (people * 0.004) / size - 0.004 * (t - warm);
              h += (people * 0.02) / size - 0.006 * (h - wet);
              c += (people * 5.5) / size - 0.008 * (c - 430);
            } else if (label === 'airing') {
              t += 0.03 * (0.6 * warm + 0.4 * outdoors - t);
              h += 0.02 * (wet + 8 - h);
              c += 0.06 * (425 - c);
            } else {
              t += 0.01 * (warm - t);
              h += 0.01 * (wet - h);
              c += 0.01 * (430 - c);
            }
            return [
              stepped(t + 0.12 * daylight[0]!() + draw.normal(0, 0.02), 0.01),
              stepped(h + 0.5 * daylight[1]!() + draw.normal(0, 0.08), 0.01),
              stepped(c + 5 * daylight[2]!() + draw.normal(0, 2), 1),
            ];
          });
          return {
            label,
            device,
            startedAt: days(index++) + draw.whole(0, 40) * 600_000,
            columns: columnsOf(rows),
          };
        }),
      ),
    );
  },
};

/** Household appliances at several sockets, with RMS current and voltage, and the power factor. */
const sockets: Family = {
  rateHz: 10,
  fields: ['current', 'voltage', 'power_factor'],
  takes(draw) {
    const kinds: Record<string, [amps: number, factor: number, swing: number]> = {
      kettle: [8.4, 0.995, 0.01],
      fridge: [0.75, 0.72, 0.04],
      washer: [2.4, 0.86, 0.3],
    };
    let index = 0;
    return Object.entries(kinds).flatMap(([label, [amps, factor, swing]]) =>
      Array.from({ length: label === 'fridge' ? draw.whole(10, 12) : draw.whole(6, 8) }, (_, k): Take => {
        const own = amps * draw.around(1, 0.08);
        const mains = wander(draw, 120);
        const load = wander(draw, 25);
        const volts = draw.normal(231, 1.5);
        const pf = Math.min(0.999, factor * draw.around(1, 0.01));
        const beat = draw.between(0.15, 0.25);
        let phase = draw.between(0, 6);
        const rows = Array.from({ length: draw.whole(250, 400) }, () => {
          phase += (2 * Math.PI * beat) / 10;
          const voltage = volts + 0.8 * mains() - 0.15 * own;
          const drum = label === 'washer' ? 0.6 * Math.sin(phase) : 0;
          return [
            stepped(
              Math.max(0, (own * (1 + swing * (0.6 * load() + drum)) * voltage) / 230) +
                Math.abs(draw.normal(0, 0.004)),
              0.001,
            ),
            stepped(voltage + draw.normal(0, 0.08), 0.01),
            stepped(Math.min(1, pf * (1 + 0.3 * swing * load()) + draw.normal(0, 0.002)), 0.0001),
          ];
        });
        return {
          label,
          device: `socket${(k % 4) + 1}`,
          startedAt: startOf(draw, index++),
          columns: columnsOf(rows),
        };
      }),
    );
  },
};

/** Pumps with a strainer that clogs or a seal that leaks. */
const pumps: Family = {
  rateHz: 20,
  fields: ['pressure', 'flow', 'current'],
  takes(draw) {
    const kinds: Record<string, Vector> = {
      normal: [3.1, 42, 5.2],
      leaking: [2.4, 47, 5.6],
      blocked: [4.3, 17, 4.2],
    };
    let index = 0;
    return Object.entries(kinds).flatMap(([label, [bar, flow, amps]]) =>
      Array.from({ length: label === 'normal' ? draw.whole(9, 12) : draw.whole(5, 7) }, (_, k): Take => {
        const [p, q, a] = [
          bar * draw.around(1, 0.04),
          flow * draw.around(1, 0.05),
          amps * draw.around(1, 0.03),
        ];
        const slow = [wander(draw, 200), wander(draw, 80)];
        const pulse = draw.between(4.6, 5.4);
        let phase = draw.between(0, 6);
        const rows = Array.from({ length: draw.whole(350, 520) }, () => {
          phase += (2 * Math.PI * pulse) / 20;
          const demand = 0.03 * slow[0]!();
          return [
            stepped(p * (1 - demand) + 0.06 * Math.sin(phase) + draw.normal(0, 0.015), 0.002),
            stepped(
              q * (1 + 1.5 * demand) + 0.5 * Math.sin(phase + 1) + 0.3 * slow[1]!() + draw.normal(0, 0.2),
              0.05,
            ),
            stepped(a * (1 + 0.6 * demand) + 0.04 * Math.sin(phase + 0.4) + draw.normal(0, 0.02), 0.005),
          ];
        });
        return {
          label,
          device: `pump${(k % 3) + 1}`,
          startedAt: startOf(draw, index++),
          columns: columnsOf(rows),
        };
      }),
    );
  },
};

/** A door that opens or is knocked on, with only a few recordings, without devices and times. */
const door: Family = {
  rateHz: 50,
  fields: ['x', 'y', 'z'],
  takes(draw) {
    return ['opening', 'knocking'].flatMap((label) =>
      Array.from({ length: draw.whole(3, 4) }, (): Take => {
        const sway = [0, 1, 2].map(() => wander(draw, 100));
        const speed = draw.between(0.25, 0.45);
        let phase = draw.between(0, 6);
        let [ring, before, left] = [0, 0, draw.whole(20, 60)];
        const rows = Array.from({ length: draw.whole(400, 600) }, () => {
          phase += (2 * Math.PI * speed) / 50;
          const swing = label === 'opening' ? 0.12 * Math.sin(phase) + 0.03 * Math.sin(3 * phase) : 0;
          const hit = label === 'knocking' && --left <= 0 ? draw.around(0.25, 0.4) : 0;
          if (left <= 0) left = draw.whole(12, 70);
          [ring, before] = [1.1 * ring - 0.55 * before + hit, ring];
          return [
            stepped(0.02 + swing + 0.3 * ring + 0.003 * sway[0]!() + draw.normal(0, 0.004), 0.001),
            stepped(0.99 + 0.1 * swing + 0.15 * ring + 0.003 * sway[1]!() + draw.normal(0, 0.004), 0.001),
            stepped(-0.05 + 0.5 * swing + ring + 0.003 * sway[2]!() + draw.normal(0, 0.004), 0.001),
          ];
        });
        return { label, device: null, startedAt: null, columns: columnsOf(rows) };
      }),
    );
  },
};

/** Metal-oxide gas sensors; every device has its own baseline, which drifts. */
const gases: Family = {
  rateHz: 1,
  fields: ['r1', 'r2', 'r3'],
  takes(draw) {
    const devices = Array.from({ length: draw.whole(3, 5) }, (_, d) => ({
      device: `nose${d + 1}`,
      base: [12, 30, 8].map((value) => value * draw.around(1, 0.25)),
    }));
    const kinds: Record<string, Vector> = {
      air: [0, 0, 0],
      ethanol: [1.1, 0.6, 0.25],
      ammonia: [0.2, 0.35, 0.8],
    };
    let index = 0;
    return devices.flatMap(({ device, base }) =>
      Object.entries(kinds).flatMap(([label, response]) =>
        Array.from({ length: draw.whole(2, 4) }, (): Take => {
          const dose = draw.around(1, 0.25);
          const age = draw.normal(0, 0.05);
          const slow = [0, 1, 2].map(() => wander(draw, 60));
          const onset = draw.whole(5, 20);
          const rise = draw.between(15, 30);
          const rows = Array.from({ length: draw.whole(160, 240) }, (_, i) => {
            const reached = i < onset ? 0 : 1 - Math.exp(-(i - onset) / rise);
            return base.map((r, f) =>
              stepped(
                r * Math.exp(-response[f]! * dose * reached + age + 0.015 * slow[f]!()) +
                  draw.normal(0, 0.02),
                0.005,
              ),
            );
          });
          return { label, device, startedAt: startOf(draw, index++), columns: columnsOf(rows) };
        }),
      ),
    );
  },
};

/** One microphone-like channel with natural impulses of very different strength. */
const impacts: Family = {
  rateHz: 100,
  fields: ['level'],
  takes(draw) {
    const kinds: Record<string, [perSecond: number, strength: number, hum: number]> = {
      quiet: [0.15, 0.3, 0.02],
      hammering: [2.2, 1.2, 0.03],
      grinding: [0.6, 0.6, 0.35],
    };
    return Object.entries(kinds).flatMap(([label, [perSecond, strength, hum]]) =>
      Array.from({ length: draw.whole(7, 10) }, (): Take => {
        const colour = wander(draw, 3);
        const loud = draw.around(1, 0.15);
        let ring = 0;
        let sign = 1;
        const column = Array.from({ length: draw.whole(900, 1200) }, () => {
          if (draw.chance(perSecond / 100)) {
            ring += strength * draw.around(1, 0.5);
            sign = 1;
          }
          ring *= 0.72;
          sign = -sign;
          return stepped(
            loud * (hum * colour() + ring * (0.55 + 0.45 * sign)) + draw.normal(0, 0.004),
            0.0005,
          );
        });
        return { label, device: null, startedAt: null, columns: [column] };
      }),
    );
  },
};

/** Pulse waves of people at rest and after exercise, from an optical sensor with a red and an infrared channel. */
const pulse: Family = {
  rateHz: 50,
  fields: ['red', 'infrared'],
  takes(draw) {
    const people = Array.from({ length: draw.whole(5, 7) }, (_, p) => ({
      device: `subject${p + 1}`,
      skin: draw.around(1, 0.12),
      calm: draw.between(0.95, 1.25),
    }));
    let index = 0;
    return people.flatMap(({ device, skin, calm }) =>
      ['rest', 'exercise'].flatMap((label) =>
        Array.from({ length: draw.whole(2, 3) }, (): Take => {
          const hz = label === 'rest' ? calm * draw.around(1, 0.05) : calm * draw.between(1.65, 1.95);
          const strength = draw.around(1, 0.15);
          const breath = wander(draw, 90);
          const beat = wander(draw, 100);
          const press = draw.around(1, 0.05);
          let phase = draw.between(0, 6);
          const rows = Array.from({ length: draw.whole(500, 700) }, () => {
            phase += (2 * Math.PI * hz * (1 + 0.03 * beat())) / 50;
            const wave =
              strength * (Math.sin(phase) + 0.4 * Math.sin(2 * phase + 0.6) + 0.15 * Math.sin(3 * phase + 1));
            return [
              Math.round(52_000 * skin * press + 320 * wave + 180 * breath() + draw.normal(0, 18)),
              Math.round(81_000 * skin * press + 610 * wave + 260 * breath() + draw.normal(0, 25)),
            ];
          });
          return { label, device, startedAt: startOf(draw, index++), columns: columnsOf(rows) };
        }),
      ),
    );
  },
};

/** Raw counts of a coarse converter, for light and force at a workplace. */
const counts: Family = {
  rateHz: 20,
  fields: ['light', 'force'],
  takes(draw) {
    const kinds: Record<string, [light: number, force: number]> = {
      free: [610, 40],
      used: [420, 330],
      night: [55, 42],
    };
    let index = 0;
    return Object.entries(kinds).flatMap(([label, [light, force]]) =>
      Array.from({ length: draw.whole(5, 8) }, (_, k): Take => {
        const l = light * draw.around(1, 0.08);
        const f = force * draw.around(1, 0.06);
        const slow = [wander(draw, 120), wander(draw, 30)];
        const rows = Array.from({ length: draw.whole(300, 450) }, () => [
          Math.max(0, Math.round(l * (1 + 0.04 * slow[0]!()) + draw.normal(0, 1.2))),
          Math.max(
            0,
            Math.round(f * (1 + (label === 'used' ? 0.15 : 0.02) * slow[1]!()) + draw.normal(0, 1.5)),
          ),
        ]);
        return {
          label,
          device: `desk${(k % 3) + 1}`,
          startedAt: startOf(draw, index++),
          columns: columnsOf(rows),
        };
      }),
    );
  },
};

/** The template's simulated motors, with current, temperature, vibration and sound. */
const templateMotors: Family = {
  rateHz: 100,
  fields: [...motorFields],
  takes(draw) {
    const first = draw.whole(1, 5000);
    return motorStates
      .filter((state) => state !== 'worn')
      .flatMap((state) =>
        Array.from({ length: 7 }, (_, k): Take => {
          const { label, columns } = simulateMotor({ state, seconds: 10, rateHz: 100, seed: first + 50 * k });
          return {
            label,
            device: null,
            startedAt: null,
            columns: columns.map((column) => [...column].map((value) => stepped(value, 0.0001))),
          };
        }),
      );
  },
};

/** The pumps, with an additional field without a connected sensor. */
const unconnected: Family = {
  ...pumps,
  fields: [...pumps.fields, 'aux'],
  accepted: ['stuck'],
  takes: (draw) =>
    pumps.takes(draw).map((take) => ({ ...take, columns: [...take.columns, take.columns[0]!.map(() => 0)] })),
};

const families = {
  wrist,
  pocket,
  tools,
  vibration,
  rooms,
  sockets,
  pumps,
  door,
  gases,
  impacts,
  pulse,
  counts,
  templateMotors,
  unconnected,
} satisfies Record<string, Family>;

export type RecordingFamily = keyof typeof families;

export const recordingFamilies = Object.keys(families) as RecordingFamily[];

/** Returns a clean set of a family. About a third of each label's recordings are for testing. */
export function cleanRecordings(name: RecordingFamily, seed: number): RecordingSet {
  const { rateHz, fields, accepted = [], takes }: Family = families[name];
  const draw = createDraw(name, seed);
  const counts = new Map<string, number>();
  const recordings = takes(draw).map(({ label, device, startedAt, columns }): Recording => {
    const number = (counts.get(label!) ?? 0) + 1;
    counts.set(label!, number);
    return {
      id: `${label}${number}`,
      label,
      device,
      rateHz,
      startedAt,
      fields,
      columns: columns.map((column) => Float64Array.from(column)),
    };
  });
  return withSplit({ name, rateHz, fields, recordings, accepted }, draw);
}

/** Divides the recordings randomly, with about a third of each label for testing. */
function withSplit(set: Omit<RecordingSet, 'split'>, draw: Draw): RecordingSet {
  const test = new Set<string>();
  for (const label of new Set(set.recordings.map((recording) => recording.label))) {
    const ids = set.recordings.filter((recording) => recording.label === label).map(({ id }) => id);
    const wanted = Math.max(1, Math.round(ids.length / 3));
    while ([...ids].filter((id) => test.has(id)).length < wanted) test.add(draw.pick(ids));
  }
  const ids = set.recordings.map(({ id }) => id);
  return {
    ...set,
    split: {
      by: 'recording',
      seed: 0,
      train: ids.filter((id) => !test.has(id)),
      validation: [],
      test: ids.filter((id) => test.has(id)),
    },
  };
}
