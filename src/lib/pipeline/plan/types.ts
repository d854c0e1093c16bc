import type { StoredData } from '../../registry/stored.js';

/** Where an input comes from. */
export type InputFrom =
  /** What a step before has left. */
  | { kind: 'output'; step: string; output: string }
  /** A file or folder of the project: relative to its folder, or absolute. */
  | { kind: 'path'; path: string; optional: boolean }
  /** aiot.yaml with the parts alone that the step reads, so that a change of another part does not run it again. */
  | { kind: 'settings'; text: string }
  /** What the last run that came so far has kept under this name; without it the step is skipped with `missing` as the reason. */
  | { kind: 'kept'; name: string; missing: string };

export interface StepInput {
  /** Path in the step's folder. */
  name: string;
  from: InputFrom;
}

export interface StepOutput {
  name: string;
  /** File or folder in the step's folder. */
  path: string;
  /** Where in the project it is put when a run went well. */
  publish?: string;
}

/** One comparison of `when`. */
export interface Term {
  not: boolean;
  step: string;
  /** Members from the result's top. */
  path: string[];
  /** Absent = it is true, or not empty. */
  compare?: { operator: '=' | '!=' | '<' | '<=' | '>' | '>='; value: string | number | boolean };
}

/** A step as every engine runs it: one command in a folder of its own, files in and files out. */
export interface PipelineStep {
  name: string;
  /** What it does, in a few words. */
  about: string;
  /** Program and arguments. `aiot` is this program; words that begin with ./ are files of the project, and so inputs. */
  command: string[];
  inputs: StepInput[];
  outputs: StepOutput[];
  /** All steps that have to be over before: those of inputs and conditions among them. */
  needs: string[];
  /** All of them hold. */
  when: Term[];
  retries: number;
  /** Before the first further try; twice as long before each one after it. */
  waitMs: number;
  /** null = as long as it takes. */
  timeoutMs: number | null;
  /** What it refuses with exit code 6, in a few words; null = nothing. */
  gate: string | null;
  cache: boolean;
  /** Whether it talks to the platform; the platform is then part of what it is cached by. */
  platform: boolean;
  /** Data that the platform may have for it: what it has is then part of what the step is cached by, too. */
  stored: StoredData | null;
  /** Why there is nothing for it to do, whatever comes; null = it is to be run. */
  idle: string | null;
  /** Two inputs that leave nothing to do where they have the same contents. */
  alike: [string, string] | null;
  /** Outputs of steps that later runs find under a name, once this step is done. */
  keeps: { name: string; step: string; output: string }[];
}

export interface PipelinePlan {
  /** Of the project. */
  project: string;
  /** In an order in which each can be run after those before it. */
  steps: PipelineStep[];
}
