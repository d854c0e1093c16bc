/** A reader of external input, and the source of inputs for it. */
export interface Target {
  /** `ROOM/NAME`, as used by `--only`. */
  name: string;
  /** Valid or almost valid examples, which are mutated. */
  seeds: () => Seed[] | Promise<Seed[]>;
  /** Reads one input. Its result and its errors are checked. */
  run: (input: Buffer) => unknown;
  /** Words of this format, inserted into inputs in addition to the general ones. */
  words?: readonly string[];
  /** Corrects checksums, so that damaged inputs pass them; applied to half of the inputs. */
  mend?: (input: Buffer) => Buffer;
  /** Names of error classes that the target's callers expect, in addition to errors with our codes. */
  throws?: readonly string[];
  /** Maximum length of an input, bytes [default: 64 KiB]. */
  longest?: number;
  /** Time that one input may take, ms [default: 1000]. */
  timeMs?: number;
  /** Memory that one input may take, MiB, in addition to 512 bytes for each byte of the input [default: 64]. */
  memoryMiB?: number;
  /** Largest growth of the process's resident set while it reads one input, including memory freed before the end, MiB [default: no limit]. */
  peakMiB?: number;
}

export type Seed = Uint8Array | string;

/** A problem with the handling of an input. */
export interface Fault {
  kind: 'error' | 'hang' | 'memory' | 'prototype';
  /** Faults with the same key are one finding. */
  key: string;
  /** Human-readable description; for an error, its message and the stack frames in our code. */
  detail: string;
}

export interface Finding extends Fault {
  target: string;
  input: Buffer;
}

/** Result of fuzzing one target. */
export interface TargetRun {
  target: string;
  inputs: number;
  /** Inputs that reached new branches, including seeds. */
  kept: number;
  /** Number of branches reached. */
  reached: number;
  seconds: number;
}

/** Tasks for the worker. */
export type Order =
  | { do: 'fuzz'; target: string; seed: number; seconds: number; inputs: number; known: string[] }
  | { do: 'try'; target: string; input: Uint8Array }
  | { do: 'list' };
export type Report =
  | { told: 'finding'; finding: Finding }
  | { told: 'ran'; run: TargetRun }
  | { told: 'tried'; fault: Fault | null; said: string }
  | { told: 'list'; names: string[] };
