import type { Project } from '../core/index.js';
import type { TopicSpec } from '../stream/index.js';

/** What a target is rendered from. */
export interface RenderInput {
  /** null where there is none: a target then renders what the motion system needs. */
  project: Project | null;
  /** JetStream streams of the project (its streams.yaml), or the motion system's. */
  streams: readonly TopicSpec[];
}

/** One file of an installation. Secrets are in none: they are named where they are to be. */
export interface RenderedFile {
  /** In the folder, with `/`. */
  path: string;
  text: string;
  /** What it is for, in some words. */
  about: string;
}

/** A way to install. Pure: the same input gives the same files. */
export interface DeployTarget {
  name: string;
  about: string;
  /** What to type in the folder next. */
  next: string;
  render(input: RenderInput): RenderedFile[];
}
