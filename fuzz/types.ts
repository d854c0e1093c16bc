/** A reader of what comes from outside, and what makes inputs for it. */
export interface Target {
  /** `ROOM/NAME`, as `--only` takes it. */
  name: string;
  /** Examples that are right, or nearly: what is damaged. */
  seeds: () => Seed[] | Promise<Seed[]>;
  /** Reads one input: what it returns is looked through, what it throws is judged. */
  run: (input: Buffer) => unknown;
  /** Words of this format, put into inputs besides the usual ones. */
  words?: readonly string[];
  /** Makes checksums right again, so that damage gets past them; used on half of the inputs. */
  mend?: (input: Buffer) => Buffer;
  /** Errors without one of our codes that its callers expect: of a class of its own, by name. */
  throws?: readonly string[];
  /** Longest input, bytes [default: 64 KiB]. */
  longest?: number;
  /** How long one input may take, ms [default: 1000]. */
  timeMs?: number;
  /** How much memory one input may take, MiB [default: 64, and 512 bytes for each of the input]. */
  memoryMiB?: number;
}

export type Seed = Uint8Array | string;

/** What is not right about how an input was taken. */
export interface Fault {
  kind: 'error' | 'hang' | 'memory' | 'prototype';
  /** Faults of one key are one finding. */
  key: string;
  /** For people: the error with the places of ours that it came through. */
  detail: string;
}

export interface Finding extends Fault {
  target: string;
  input: Buffer;
}

/** What became of one target's time. */
export interface TargetRun {
  target: string;
  inputs: number;
  /** Inputs that went where none had gone before, seeds among them. */
  kept: number;
  /** Places of ours that were reached. */
  reached: number;
  seconds: number;
}

/** To the worker: what to do. From it: what was found, and that it is done. */
export type Order =
  | { do: 'fuzz'; target: string; seed: number; seconds: number; inputs: number; known: string[] }
  | { do: 'try'; target: string; input: Uint8Array }
  | { do: 'list' };
export type Report =
  | { told: 'finding'; finding: Finding }
  | { told: 'ran'; run: TargetRun }
  | { told: 'tried'; fault: Fault | null; said: string }
  | { told: 'list'; names: string[] };
