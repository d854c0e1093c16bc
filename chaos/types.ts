import type { Random } from '../src/lib/core/numbers.js';
import type { Servers } from './servers.js';

/** Kinds of faults that can be applied to a target. docs/background/reliability.md describes each. */
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

/** One fault of a round: starts `atMs` after the start of the load, and lasts `forMs`. */
export interface Fault {
  kind: FaultKind;
  target: string;
  atMs: number;
  forMs: number;
}

/** Faults that a target supports: each function starts the fault, and ends it after the given time in ms. */
export type Target = Partial<Record<FaultKind, (forMs: number) => Promise<void>>>;

/** Something on this machine that a scenario or a fault requires. */
export type Part =
  | 'mosquitto'
  | 'nats'
  | 'nats with MQTT'
  | 'kafka'
  | 'postgres'
  | 's3'
  | 'mounts'
  | 'cc'
  | 'prlimit';

/** A violated invariant. `seed` with `--round-seed` and `--only SCENARIO` repeats the round. */
export interface Violation {
  round: number;
  seed: number;
  scenario: string;
  invariant: string;
  detail: string;
}

export type Report = (invariant: string, detail: string) => void;

/** Resources that a round provides to its world. */
export interface Round {
  /** Folder of the round: initially empty, removed after the round. */
  folder: string;
  /** Added to the environment of every process of the round. */
  mark: string;
  /** Random numbers for the load only, because the faults have already been drawn. */
  random: Random;
  servers: Servers;
  /** The library of faults/shim.c, if there is a compiler. */
  shim: string | undefined;
  has(part: Part): boolean;
  /** Number of simulated devices, if it was set on the command line. */
  devices: number | undefined;
  report: Report;
}

/** A running system, its load, and its invariants. */
export interface World {
  targets: Record<string, Target>;
  /** Generates load until `signal` is aborted, and records everything that is acknowledged. */
  load(signal: AbortSignal): Promise<void>;
  /** Resolves when the whole system works again; rejects if that takes too long. */
  recover(): Promise<void>;
  /** Reports acknowledged data that is missing. Called while everything is still running. */
  check(): Promise<void>;
  /** Ends all processes like an operator, and reports exit codes and leftovers. */
  stop(): Promise<void>;
  /** Total number of acknowledgments. */
  acknowledged(): number;
  /** The complete output of our processes. */
  printed(): string;
  /** Texts that must not occur in that output. */
  secrets(): string[];
  /** Violates an invariant on purpose, to test this harness. */
  sabotage?(): Promise<void>;
}

export interface Scenario {
  name: string;
  about: string;
  needs: readonly Part[];
  /** Possible faults, by target. Kinds that need a part missing on this machine are omitted. */
  faults: Readonly<Record<string, readonly FaultKind[]>>;
  /** Minimum and maximum number of faults in a round; 1 to 3 if absent. */
  count?: readonly [number, number];
  /** Maximum time from the start of the load to the beginning of a fault, ms; 2,000 if absent. */
  withinMs?: number;
  start(round: Round): Promise<World>;
}
