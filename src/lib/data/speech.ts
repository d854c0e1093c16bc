import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod';
import { AiotError, unless } from '../core/errors.js';
import { readBytes, readJson } from '../core/files.js';
import { type Random, seededRandom, shuffled } from '../core/numbers.js';
import { findProgram, runProgram } from '../core/process.js';
import type { Project } from '../core/project.js';
import type { ProjectConfig } from '../core/project-schema.js';
import { pcm16, readWav } from '../formats/wav.js';
import { mixedAtSnr, noiseKinds, noiseOf, powerOf } from '../signal/acoustics.js';
import { windowCount } from '../signal/pipeline.js';
import { type SignalSpec, signalSpecOf } from '../signal/spec.js';
import { dataFolderOf, expectedOf } from './dataset/open.js';
import { soundAt } from './dataset/read.js';
import {
  addRecordings,
  changeData,
  refuseLabel,
  removeRecordings,
  type SpooledRecording,
  spoolRecording,
} from './dataset/write.js';
import type { Recording } from './types.js';

export const synthesisSchema = z.object({
  /** Absolute folder. */
  folder: z.string(),
  /** Name and version of the speech synthesizer. */
  program: z.string(),
  /** Voices, each of which is the device of its recordings. */
  voices: z.array(z.string()),
  recordings: z.int(),
  samples: z.int(),
  /** Recordings per label. */
  labels: z.record(z.string(), z.int()),
  /** Total length of the sentences of other words, s. */
  speechS: z.number(),
  /** Number of earlier synthesized recordings that were replaced. */
  replaced: z.int(),
});

export type Synthesis = z.output<typeof synthesisSchema>;

interface SynthesisOptions {
  project: Project;
  words: readonly string[];
  /** Number of voices. */
  voices: number;
  /** Must be the project's signal.rate; absent = the project's. */
  rateHz?: number | undefined;
  /** Number of recordings of each word by each voice. */
  takes: number;
  /** Language of the words, by its name in espeak-ng. */
  language: string;
  /** Words for the label `other`. */
  others: readonly string[];
  /** Length of the sentences of other words that each voice speaks, s, rounded up to whole recordings; 0 = none. */
  speechS: number;
  seed: number;
  /** Called after each voice, with the number of finished voices. */
  onVoice?: ((done: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Device names of synthesized recordings begin with this, to distinguish them from those of people. */
const voicePrefix = 'espeak-';

/** Label of recordings without speech. */
export const noiseLabel = 'noise';

/** Label for all other speech sounds. */
const otherLabel = 'other';

/** Common words, and words that sound similar to those that users often choose, because they share the beginning, the end or the vowel. */
export const usualOthers = (
  'up down left right on off now nine top step yet guess stone house table water seven happy garden music follow window paper yellow ' +
  'best west less press chess desk next red bed ten leg egg help well tell when yesterday ' +
  'go show low slow so sow toe boat coat nose note nobody open home road phone zero ' +
  'shop drop pop stock start store star stay still stuff stamp stand hot box job clock dog ' +
  'one two three four five six eight bird cat tree wow learn visual forward backward marvin sheila ' +
  'play pause light door room green blue black white morning evening summer winter people children ' +
  'because before after under over little always never maybe please thanks hello today tomorrow ' +
  'about again another between country different money mother father number letter question answer ' +
  'river mountain city street kitchen chair picture story coffee apple orange doctor teacher minute hour week year'
).split(' ');

/**
 * Records words spoken by espeak-ng as recordings of a project, one model window each. Voices differ in their formants, and takes differ in
 * accent, speed, pitch, loudness, position in the window and noise. A voice is the device of its recordings, so that `model.split: device`
 * tests on unseen voices. The label `other`, if the project has it, gets other words, and running speech that is longer than a window: a
 * few words, and sentences. It also gets the beginnings and ends of the words, which occur in windows that a word enters or leaves. The
 * label `noise` gets only noise. Earlier synthesized recordings are replaced. With the same version of espeak-ng, the same seed yields the
 * same recordings.
 * @throws AIOT_PROGRAM_NOT_FOUND, AIOT_USAGE (a word, the language, too many voices), AIOT_LABEL_UNKNOWN, AIOT_DATA_RATE,
 * AIOT_DATA_COLUMNS, AIOT_PROGRAM_FAILED, AIOT_FILE_NOT_WRITABLE
 */
export async function synthesizeWords(options: SynthesisOptions): Promise<Synthesis> {
  const { project, words, seed, signal } = options;
  const expected = expectedOf(project.config);
  refuse(options);
  const speaker = await findSpeaker(options.language, signal);
  const random = seededRandom(seed);
  const variants = shuffled(speaker.variants, random).slice(0, options.voices);
  if (variants.length < options.voices)
    throw new AiotError(
      'AIOT_USAGE',
      `--voices: expected at most ${variants.length}, the number of voices of this espeak-ng; got ${options.voices}`,
      {
        next: `Use --voices ${variants.length}, and more --takes of each.`,
      },
    );
  const others = options.others.filter((word) => !words.includes(word));
  const recordings: SpooledRecording[] = [];
  const hasSpeech = expected.labels.includes(otherLabel) && others.length > 0;
  let speechS = 0;
  let replaced = 0;
  const folder = dataFolderOf(project);
  const scratch = await mkdtemp(join(tmpdir(), 'aiot-speech-'));
  try {
    for (const [v, variant] of variants.entries()) {
      const own = seededRandom(seed * 1009 + v + 1);
      const voice = createVoice(speaker, variant, own, scratch);
      const said = new Map<string, Float64Array>();
      const add = async (spoken: Float64Array | null, label: string, take: number, part?: boolean) => {
        const id = `${label}-${voice.name.slice(voicePrefix.length)}-${take}`;
        const names = { id, label, device: voice.name, part, random: own };
        const recording = wordRecording(project.config, spoken, names);
        recordings.push(await spoolRecording(recording, join(scratch, `${recordings.length}.wav`)));
      };
      const script = lines(words, others, expected.labels, options.takes, own);
      for (const { label, text, take, part } of script) {
        signal?.throwIfAborted();
        // A part is cut from the last take of the word.
        const spoken =
          part && text ? said.get(text)! : text && (await voice.say(text, expected.rateHz, signal));
        if (text && spoken) said.set(text, spoken);
        await add(spoken || null, label, take, part);
      }
      let take = script.filter(({ label }) => label === otherLabel).length;
      for (let seconds = 0; hasSpeech && seconds < options.speechS; ) {
        signal?.throwIfAborted();
        const sound = await voice.say(sentences(others, own), expected.rateHz, signal);
        await add(sound, otherLabel, ++take);
        seconds += sound.length / expected.rateHz;
        speechS += sound.length / expected.rateHz;
      }
      options.onVoice?.(v + 1);
    }
    await changeData(folder, expected, async (listing) => {
      const earlier = listing.recordings.filter(({ device }) => device?.startsWith(voicePrefix));
      replaced = earlier.length;
      const kept = await removeRecordings(folder, listing, new Set(earlier.map(({ id }) => id)));
      await addRecordings(folder, kept, recordings, undefined, signal);
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return {
    folder,
    program: speaker.version,
    voices: variants.map(voiceName),
    recordings: recordings.length,
    samples: recordings.reduce((sum, { entry }) => sum + entry.samples, 0),
    labels: countLabels(recordings.map(({ entry }) => entry)),
    speechS,
    replaced,
  };
}

/** @throws AIOT_USAGE, AIOT_LABEL_UNKNOWN, AIOT_DATA_RATE, AIOT_DATA_COLUMNS */
function refuse({ project, words, others, rateHz }: SynthesisOptions): void {
  const expected = expectedOf(project.config);
  const pictures = project.config.signal?.image !== undefined;
  if (pictures || expected.fields.length !== 1)
    throw new AiotError(
      'AIOT_DATA_COLUMNS',
      `expected one field of sound in stream.fields, got ${pictures ? 'pictures' : expected.fields.length}: ${expected.fields.join(', ')}`,
      {
        next: 'For pictures, use --pictures and --seed instead of --words. For sound, create a project with `aiot init DIR --template keyword-spotting`.',
      },
    );
  if (rateHz !== undefined && rateHz !== expected.rateHz)
    throw new AiotError(
      'AIOT_DATA_RATE',
      `expected recordings at ${expected.rateHz} samples per second (signal.rate), got ${rateHz}`,
    );
  if (words.length === 0)
    throw new AiotError('AIOT_USAGE', '--words: expected at least one word', {
      next: `Use words that are labels in aiot.yaml: --words ${expected.labels.slice(0, 2).join(',')}`,
    });
  for (const word of [...words, ...others])
    if (!/^\p{L}[\p{L}\p{M}' ]{0,30}$/u.test(word))
      throw new AiotError('AIOT_USAGE', `expected words of letters, at most 31, got "${word}"`);
  for (const word of words) refuseLabel(word, expected);
}

interface Line {
  label: string;
  /** Absent speech = only noise. */
  text: string | null;
  /** Number of the recording within its label, from 1. */
  take: number;
  /** Whether only the beginning or the end of the word is in the window. */
  part?: boolean;
}

/** Number of words in one recording of running speech. */
const runningWords = 5;

/**
 * All speech of one voice. Most sounds that a microphone picks up are none of the words. Therefore, for each take of a word, the class of
 * other words gets three words, one part of a word, and half a recording of running speech.
 */
function lines(
  words: readonly string[],
  others: readonly string[],
  labels: readonly string[],
  takes: number,
  random: Random,
): Line[] {
  const numbered = (label: string, own: Omit<Line, 'label' | 'take'>[]) =>
    own.map((line, i) => ({ label, take: i + 1, ...line }));
  const repeated = (word: string) => numbered(word, new Array<{ text: string }>(takes).fill({ text: word }));
  const mixed = shuffled(others, random);
  const next = (count: number, from: number) =>
    Array.from({ length: count }, (_, i) => mixed[(from + i) % mixed.length]!);
  const single = next(3 * takes, 0).map((text) => ({ text }));
  const parts = Array.from({ length: takes }, (_, i) => ({ text: words[i % words.length]!, part: true }));
  const running = Array.from({ length: Math.ceil(takes / 2) }, (_, i) => ({
    text: next(runningWords, 3 * takes + i * runningWords).join(' '),
  }));
  return [
    ...words.flatMap(repeated),
    ...(labels.includes(otherLabel) && mixed.length > 0
      ? numbered(otherLabel, [...single, ...parts, ...running])
      : []),
    ...(labels.includes(noiseLabel)
      ? numbered(noiseLabel, new Array<{ text: null }>(takes).fill({ text: null }))
      : []),
  ];
}

/** Number of sentences in one recording, and of words in a sentence. */
const spoken = { sentences: 3, words: [5, 12] } as const;

/** Sentences of random words. Half of them have a comma, at which espeak-ng pauses, as at a full stop. */
function sentences(others: readonly string[], random: Random): string {
  const word = () => others[Math.floor(random() * others.length)]!;
  const sentence = () => {
    const said = Array.from({ length: Math.round(between(spoken.words, random)) }, word);
    if (random() < 0.5) said[Math.floor(said.length / 2)] += ',';
    return `${said.join(' ')}.`;
  };
  return Array.from({ length: spoken.sentences }, sentence).join(' ');
}

/** Ranges of the parameters that vary from take to take. */
const range = {
  wordsPerMinute: [130, 210],
  /** espeak-ng's own scale, from 0 to 99. */
  pitch: [30, 70],
  /** Level of the peak, as a share of full scale. */
  peak: [0.1, 0.7],
  snrDb: [8, 35],
  /** Level of noise without speech: root mean square, as a share of full scale. */
  noise: [0.0005, 0.05],
  /** Share of a word that is in the window, if only a part of it is. */
  part: [0.15, 0.45],
} as const;

/** Level of a microphone's own noise, which every recording contains: root mean square, as a share of full scale. */
const selfNoise = 0.0003;

const between = ([low, high]: readonly [number, number], random: Random) => low + (high - low) * random();

interface RecordingNames {
  id: string;
  label: string;
  device: string | null;
  /** Whether only the beginning or the end of the word is in the window. */
  part?: boolean | undefined;
  random: Random;
}

/**
 * A recording that fills exactly one window of the project's model: the word at a random position and level in generated noise, or only
 * noise. Speech that is longer than a window yields a recording of the same length.
 * @param spoken speech without silence at its ends, at the project's rate; null = only noise
 */
export function wordRecording(
  config: ProjectConfig,
  spoken: Float64Array | null,
  { random, part, ...named }: RecordingNames,
): Recording {
  const { rate } = config.signal;
  const fields = Object.keys(config.stream.fields);
  const window = windowLength(signalSpecOf(config));
  const length = Math.max(window, spoken?.length ?? 0);
  const kind = noiseKinds[Math.floor(random() * noiseKinds.length)]!;
  const noise = noiseOf(kind, length, rate, random);
  const own = noiseOf('white', length, rate, random);
  const sampled = (column: Float64Array) => column.map((value, i) => pcm16(value + selfNoise * own[i]!));
  const base = { ...named, rateHz: rate, startedAt: null, fields, format: 'wav' as const };
  if (spoken === null) {
    const level = 10 ** between([Math.log10(range.noise[0]), Math.log10(range.noise[1])], random);
    return { ...base, columns: [sampled(noise.map((value) => level * value))] };
  }
  const peak = spoken.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const factor = peak > 0 ? between(range.peak, random) / peak : 0;
  const at = placeOf(spoken.length, length, part === true, random);
  const placed = new Float64Array(length);
  spoken.forEach((value, i) => {
    if (at + i >= 0 && at + i < length) placed[at + i] = factor * value;
  });
  const power = factor * factor * powerOf(spoken);
  return { ...base, columns: [sampled(mixedAtSnr(placed, noise, between(range.snrDb, random), power))] };
}

/** First sample of a word in a window. The whole word is at a random position, or the window begins or ends within the word. */
function placeOf(word: number, window: number, part: boolean, random: Random): number {
  if (!part) return Math.floor(random() * (window - word + 1));
  const seen = Math.round(word * between(range.part, random));
  return random() < 0.5 ? window - seen : seen - word;
}

/** A template's words: words.json names consecutive parts of words.wav. */
const packSchema = z.object({
  words: z.array(z.object({ label: z.string(), device: z.string(), samples: z.int().min(1) })),
});

/** Number of recordings of each word of a pack, in different noise. */
const packTakes = 3;

/**
 * Recordings of the words in FOLDER/words.wav, for machines without espeak-ng: each word in different noise, and only noise. Deterministic.
 * The pack is created by scripts/speech.js.
 * @throws AIOT_FILE_NOT_FOUND, AIOT_FILE_MALFORMED
 */
export async function packedRecordings(folder: string, config: ProjectConfig): Promise<Recording[]> {
  const file = join(folder, 'words.wav');
  const { channels, rateHz } = readWav(await readBytes(file), file);
  const { words } = packSchema.parse(await readJson(join(folder, 'words.json')));
  const recordings: Recording[] = [];
  const counts = new Map<string, number>();
  const add = (spoken: Float64Array | null, label: string, device: string) => {
    for (let i = 0; i < packTakes; i++) {
      const name = `${label}-${device.slice(voicePrefix.length)}`;
      const take = (counts.get(name) ?? 0) + 1;
      counts.set(name, take);
      const random = seededRandom(recordings.length + 1);
      recordings.push(wordRecording(config, spoken, { id: `${name}-${take}`, label, device, random }));
    }
  };
  let at = 0;
  for (const { label, device, samples } of words) {
    const sound = channels[0]!.slice(at, at + samples);
    add(soundAt(config.signal.rate, [sound], rateHz)[0]!, label, device);
    at += samples;
  }
  for (const device of new Set(words.map((word) => word.device))) add(null, 'noise', device);
  return recordings;
}

/** Minimum number of samples that fill a window. */
function windowLength(spec: SignalSpec): number {
  const ratio = spec.rateHz / spec.resampleHz;
  let samples = Math.max(1, Math.floor((spec.windowSamples - 1) * ratio));
  while (windowCount(spec, samples) === 0) samples++;
  return samples;
}

export function countLabels(recordings: readonly Pick<Recording, 'label'>[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { label } of recordings) if (label !== null) counts[label] = (counts[label] ?? 0) + 1;
  return counts;
}

interface Speaker {
  program: string;
  version: string;
  /** Voices of the language: its accents, such as en-gb and en-us. */
  accents: string[];
  /** Variants of every voice, each with different formants. */
  variants: string[];
}

/** @throws AIOT_PROGRAM_NOT_FOUND, AIOT_PROGRAM_FAILED, AIOT_USAGE (no such language) */
export async function findSpeaker(language: string, signal?: AbortSignal): Promise<Speaker> {
  const program = await unless('AIOT_PROGRAM_NOT_FOUND', findProgram('espeak-ng'));
  if (program === undefined)
    throw new AiotError(
      'AIOT_PROGRAM_NOT_FOUND',
      'synthesizing speech needs espeak-ng, which is not installed or not on the PATH',
      {
        endpoint: 'espeak-ng',
        next: 'Install it: `apt-get install espeak-ng` (Debian, Ubuntu, Raspberry Pi OS), or `brew install espeak-ng`. Without it, train on the words that the template keyword-spotting contains.',
      },
    );
  const ask = async (...args: string[]) => (await run(program, args, signal)).stdout;
  const found = (await ask(`--voices=${language}`))
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    // Voices of MBROLA need files that are not installed with espeak-ng, and variants are not languages.
    .filter(([, name = '', , , file = 'mb/']) => name !== 'variant' && !file.startsWith('mb/'))
    .map(([, name]) => name!);
  const accents = [...new Set(found)].sort();
  if (accents.length === 0)
    throw new AiotError('AIOT_USAGE', `--language: espeak-ng does not support "${language}"`, {
      next: 'List its languages with `espeak-ng --voices`.',
    });
  const variants = [...(await ask('--voices=variant')).matchAll(/!v\/(\S.*?)(?:\s{2,}|\s*$)/gm)].map(
    ([, name]) => name!,
  );
  const version = (await ask('--version')).match(/^.*?:?\s*(\d+(?:\.\d+)*)/)?.[1] ?? 'unknown';
  return { program, version: `espeak-ng ${version}`, accents, variants: variants.filter(isVoice).sort() };
}

/**
 * Whether a variant counts as a voice. Some imitate machines or only whisper. Others are further versions of a voice (`steph2`), which must
 * not count as another voice in a split by voice.
 */
function isVoice(variant: string): boolean {
  return !/whisper|robo|announce|half-life|demonic|croak|klatt|tweaky|fast|[a-z]{2}[2-9]$/i.test(variant);
}

/** @throws AIOT_PROGRAM_FAILED */
async function run(program: string, args: string[], signal?: AbortSignal) {
  const end = await runProgram(program, args, { timeoutMs: 30_000, signal });
  if (end.code === 0) return end;
  throw new AiotError(
    'AIOT_PROGRAM_FAILED',
    `espeak-ng ${end.timedOut ? 'did not end within 30 s' : `ended with ${end.code ?? end.endedBy}`}: ${end.stderr.trim().slice(0, 300)}`,
    { endpoint: program },
  );
}

function voiceName(variant: string): string {
  return `${voicePrefix}${variant.replace(/[^A-Za-z0-9]+/g, '')}`;
}

interface Voice {
  /** Name for a recording's device. */
  name: string;
  /** Sound of a text in a new accent, speed and pitch, without silence at its ends. */
  say(text: string, rateHz: number, signal?: AbortSignal): Promise<Float64Array>;
}

export function createVoice(speaker: Speaker, variant: string, random: Random, scratch: string): Voice {
  const { program, accents } = speaker;
  const file = join(scratch, 'word.wav');
  return {
    name: voiceName(variant),
    async say(text, rateHz, signal) {
      const accent = accents[Math.floor(random() * accents.length)]!;
      const speed = Math.round(between(range.wordsPerMinute, random));
      const pitch = Math.round(between(range.pitch, random));
      const how = ['-v', `${accent}+${variant}`, '-s', String(speed), '-p', String(pitch)];
      await run(program, [...how, '-w', file, text], signal);
      const { channels, rateHz: own } = readWav(await readBytes(file), file);
      const [sound] = soundAt(rateHz, channels, own);
      const word = trimmed(sound!, rateHz);
      if (word.length > 0) return word;
      throw new AiotError(
        'AIOT_PROGRAM_FAILED',
        `espeak-ng produced no sound for "${text}" (${accent}+${variant})`,
      );
    },
  };
}

/** Minimum level of a frame that counts as speech, relative to the loudest frame. */
const silenceDb = 40;

/** A sound without its quiet frames (10 ms) at both ends; empty for silence. */
export function trimmed(sound: Float64Array, rateHz: number): Float64Array {
  const frame = Math.max(1, Math.round(0.01 * rateHz));
  const powers: number[] = [];
  for (let at = 0; at < sound.length; at += frame) powers.push(powerOf(sound.subarray(at, at + frame)));
  const least = Math.max(...powers) / 10 ** (silenceDb / 10);
  const loud = (power: number) => power > 0 && power >= least;
  const first = powers.findIndex(loud);
  if (first < 0) return new Float64Array(0);
  return sound.slice(first * frame, (powers.findLastIndex(loud) + 1) * frame);
}
