import type { Clock } from '../../core/index.js';
import type { StreamCredentials } from '../../stream/index.js';
import type { ModelKeeper } from '../model-types.js';
import type { Outputs, Sensing } from '../types.js';

/** The parts of the motion system, each in the place of one of the original's containers. */
export const stageNames = ['sense', 'extract', 'predict', 'output'] as const;
export type StageName = (typeof stageNames)[number];

/** What one stage of the motion system needs: `aiot loop run --stage NAME`. */
export interface StageOptions {
  stage: StageName;
  /**
   * NATS_ADDRESS, NATS_TOKEN; for `output` also REDIS_ADDRESS, REDIS_PASSWORD, TELEGRAM_KEY, TELEGRAM_CHAT. The original's
   * containers have the same.
   */
  env: Readonly<Record<string, string | undefined>>;
  /**
   * `--out` and `--sensor` as given. A `nats:` or `natss:` URL among them is the server, before NATS_ADDRESS; with a subject
   * (`nats://HOST/samples`) `sense` writes, and `extract` reads, one record a sample on that subject instead of x, y and z.
   */
  urls?: readonly string[];
  /** CA, client certificate, token for NATS, from the flags of every command that talks to a broker. */
  credentials?: StreamCredentials;
  /** `sense`: where samples come from; asked once, closed by the stage. */
  openSensing?: () => Promise<Sensing>;
  /** `predict`: the model; asked once, closed by the stage. */
  openModels?: () => Promise<ModelKeeper>;
  /** `output`: where the voted labels go besides NATS, Redis and Telegram; asked once, closed by the stage. */
  openOutputs?: () => Promise<Outputs>;
  /** `extract`: how the windows' signal is conditioned; absent = not at all, as the original. */
  lowpassHz?: number | null;
  clock?: Clock;
  /** Ends it: what is under way arrives first. */
  signal?: AbortSignal;
  onEvent?: (event: StageEvent) => void;
}

export type StageEvent =
  | { kind: 'ready'; endpoint: string }
  /** The far side is gone, or back. */
  | { kind: 'away' | 'back'; what: string; why?: string }
  /** Samples or messages that are not used, and why. */
  | { kind: 'lost'; count: number; why: string }
  /** A window went on as features. */
  | { kind: 'window'; window: number; t: number }
  /** `voted` null: the vote is open. */
  | { kind: 'label'; label: string; voted?: string | null; t: number };

/** What a stage did until it was ended. */
export interface StageResult {
  stage: StageName;
  /** Without credentials. */
  endpoint: string;
  /** Samples published (sense) or taken as whole rows (extract); messages taken (predict, output). */
  taken: number;
  /** Messages published: axes or records, feats, predictions, output. */
  published: number;
  windows: number;
  /** Samples that never became part of a row, or were too old when the server came back. */
  lost: number;
  /** Messages that were not what they should be. */
  refused: number;
}
