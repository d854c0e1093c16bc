import type { StoredData } from '../../api/stored.js';

/** Source of an input. */
export type InputFrom =
  /** An output of an earlier step. */
  | { kind: 'output'; step: string; output: string }
  /** A file or folder of the project, with a path that is absolute or relative to the project's folder. */
  | { kind: 'path'; path: string; optional: boolean }
  /** The parts of aiot.yaml that the step reads, so that a change to another part does not rerun it. */
  | { kind: 'settings'; text: string }
  /** The output that an earlier run stored under this name. Without such an output, the step is skipped, with `missing` as the reason. */
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
  /** Destination in the project after a successful run. */
  publish?: string;
}

/** A comparison in `when`. */
export interface Term {
  not: boolean;
  step: string;
  /** Path of a member, starting at the result. */
  path: string[];
  /** Absent = the value must be true, or not empty. */
  compare?: { operator: '=' | '!=' | '<' | '<=' | '>' | '>='; value: string | number | boolean };
}

/** A step in the form that engines run: a command in its own folder, with input and output files. */
export interface PipelineStep {
  name: string;
  /** A short description of the step's purpose. */
  about: string;
  /** Program and arguments. `aiot` is this program. Arguments that begin with ./ are files of the project, and therefore inputs. */
  command: string[];
  inputs: StepInput[];
  outputs: StepOutput[];
  /** All steps that must end first, including steps to which inputs and conditions refer. */
  needs: string[];
  /** Conditions that must all be true. */
  when: Term[];
  retries: number;
  /** Delay before the first retry, ms; doubled for each further retry. */
  waitMs: number;
  /** null = no limit. */
  timeoutMs: number | null;
  /** Meaning of exit code 6, in a few words; null = the step is not a gate. */
  gate: string | null;
  cache: boolean;
  /** Whether the step uses the platform. If so, the platform's identity is part of the step's cache key. */
  platform: boolean;
  /** Data that the platform may have for the step. If not null, a digest of this data is part of the step's cache key. */
  stored: StoredData | null;
  /** Reason why the step has nothing to do in this project; null = it is run. */
  idle: string | null;
  /** Two inputs. The step is skipped if their contents are equal. */
  alike: [string, string] | null;
  /** Outputs that are stored for later runs, under a name, once this step is done. */
  keeps: { name: string; step: string; output: string }[];
}

export interface PipelinePlan {
  project: string;
  /** The steps, each after all of its dependencies. */
  steps: PipelineStep[];
}
