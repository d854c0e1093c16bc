import { type Random, seededRandom } from '../../../core/numbers.js';
import type { SoundAugmentConfig } from '../../../core/project-schema.js';
import {
  atSpeed,
  centered,
  mixedAtSnr,
  noiseKinds,
  noiseOf,
  reverberated,
  shifted,
} from '../../../signal/acoustics.js';
import type { Copies } from '../examples/examples.js';

/** Power of the generated reverberation, as a share of the direct sound's power: from a seat close to the speaker to one far away. */
const reverbShare = [0.05, 0.8] as const;

/**
 * Altered copies of sound recordings, for model.train.augment.sound: played at another speed, shifted in time, with the reverberation of a
 * simulated room, and with generated noise, in this order. The recording's ID, the copy's number and the seed determine the changes, so
 * that adding a recording does not change the copies of other recordings.
 */
export function soundCopies(settings: SoundAugmentConfig, seed: number): Copies {
  return {
    count: settings.copies,
    of({ id, rateHz }, columns, copy) {
      const random = seededRandom(seedOf(`${seed}/${id}/${copy}`));
      const drawn = draw(settings, rateHz, random);
      return columns.map((column) => altered(column, rateHz, drawn, random));
    },
  };
}

/** FNV-1a, 32 bits. */
function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** The changes in one copy, which are the same for all columns. */
function draw({ snr, shift, speed, reverb }: SoundAugmentConfig, rateHz: number, random: Random) {
  const [low, high] = reverbShare;
  return {
    speed: 1 + speed * (2 * random() - 1),
    shift: Math.round(shift * rateHz * (2 * random() - 1)),
    room: { seconds: reverb * random(), share: low + (high - low) * random() },
    noise: noiseKinds[Math.floor(random() * noiseKinds.length)]!,
    snrDb: snr ? snr[0] + (snr[1] - snr[0]) * random() : null,
  };
}

function altered(
  column: Float64Array,
  rateHz: number,
  { speed, shift, room, noise, snrDb }: ReturnType<typeof draw>,
  random: Random,
): Float64Array {
  let sound = column;
  if (speed !== 1) sound = centered(atSpeed(sound, speed), column.length);
  if (shift !== 0) sound = shifted(sound, shift);
  if (room.seconds > 0) sound = reverberated(sound, rateHz, { ...room, random });
  if (snrDb === null) return sound;
  return mixedAtSnr(sound, noiseOf(noise, sound.length, rateHz, random), snrDb);
}
