import type { Random } from '../src/lib/core/numbers.js';
import type { Servers } from './servers.js';

/** What can be done to a target. docs/reliability.md says of each what it is. */
export const faultKinds = [
  'kill',
  'kill-starting',
  'kill-stopping',
  'pause',
  'restart',
  'delay',
  'cut',
  'reset',
  'truncate',
  'blackhole',
  'disk-full',
  'read-only',
  'sync-error',
  'clock-ahead',
  'clock-back',
  'handles',
  'memory',
] as const;
export type FaultKind = (typeof faultKinds)[number];

/** One fault of a round: at `atMs` from the start of the load, for `forMs`. */
export interface Fault {
  kind: FaultKind;
  target: string;
  atMs: number;
  forMs: number;
}

/** What a target lets be done to it: begins the fault, and ends it after so many ms. */
export type Target = Partial<Record<FaultKind, (forMs: number) => Promise<void>>>;

/** Something of this machine that a scenario or a fault needs. */
export type Part = 'mosquitto' | 'nats' | 'kafka' | 'postgres' | 'mounts' | 'cc' | 'prlimit';

/** What does not hold. `seed` with `--round-seed` and `--only SCENARIO` does that round again. */
export interface Violation {
  round: number;
  seed: number;
  scenario: string;
  invariant: string;
  detail: string;
}

export type Report = (invariant: string, detail: string) => void;

/** What a round gives to its world. */
export interface Round {
  /** Empty, removed after the round. */
  folder: string;
  /** In the environment of every process of the round. */
  mark: string;
  /** Of the load alone: the faults are drawn before. */
  random: Random;
  servers: Servers;
  /** The library of faults/shim.c, where a compiler is. */
  shim: string | undefined;
  has(part: Part): boolean;
  report: Report;
}

/** A system that runs, what it is loaded with, and what must hold of it. */
export interface World {
  targets: Record<string, Target>;
  /** Loads it until `signal` is aborted; each thing acknowledged is noted. */
  load(signal: AbortSignal): Promise<void>;
  /** Resolves when all of it works again; rejects when it does not within its bound. */
  recover(): Promise<void>;
  /** Reports what was acknowledged and is not there. Everything runs. */
  check(): Promise<void>;
  /** Ends all processes as an operator does, and reports exit codes and what they leave. */
  stop(): Promise<void>;
  /** What was acknowledged, in all. */
  acknowledged(): number;
  /** Everything that the processes of ours have printed. */
  printed(): string;
  /** What must not be in that. */
  secrets(): string[];
  /** Makes a promise broken, for the test of this harness. */
  sabotage?(): Promise<void>;
}

export interface Scenario {
  name: string;
  about: string;
  needs: readonly Part[];
  /** What may be drawn, by target; a kind whose part is missing here is left out. */
  faults: Readonly<Record<string, readonly FaultKind[]>>;
  /** Fewest and most faults of a round; 1 to 3 where absent. */
  count?: readonly [number, number];
  /** Longest time from the start of the load to the beginning of a fault, ms; 2,000 where absent. */
  withinMs?: number;
  start(round: Round): Promise<World>;
}
